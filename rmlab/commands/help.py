"""The help of the command line: whole summaries of the commands, and the settings that a stage reads."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_LONGEST = 200  # characters of a summary, which is never cut


class WholeSummaries(TyperGroup):
    """Lists the commands with their whole summaries, where Typer would cut them at the end of a line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, known.get_short_help_str(_LONGEST)) for name, known in shown if known]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class StageCommand(TyperCommand):
    """The command of a stage, whose help names the settings that decide its result."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from rmlab.commands.list_settings import of_stage
        from rmlab.config.documented import Conf

        conf, stage = Conf.read(), str(self.name)
        if decided_by := of_stage(stage):
            with formatter.section("Settings, with their defaults"):
                formatter.write_dl([conf.brief(name) for name in decided_by])
            formatter.write_paragraph()
            formatter.write_text(
                f"`rmlab settings {stage}` lists all of them, and `rmlab settings NAME` the options of a "
                "group or what is in a section (NAME.*)."
            )
