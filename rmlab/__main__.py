from rmlab.cli import main

main()
