"""References within settings: `${other.setting}` and the functions that conf/ uses, and no others.

OmegaConf knows more of them, such as ${oc.env:NAME}, with which a stranger's file could put what only this
user knows into a card or a log that is passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rmlab.config.set_choice import set_choice, set_file, set_test_file

ENVIRONMENT = "oc.env"


@contextmanager
def known_references(environment: bool) -> Iterator[None]:
    """Within, settings are resolved by these references alone; environment: and by ${oc.env:NAME}."""
    from omegaconf import OmegaConf
    from omegaconf.basecontainer import BaseContainer
    from omegaconf.resolvers import oc

    others = BaseContainer._resolvers
    BaseContainer._resolvers = {}
    try:
        for function in (set_choice, set_file, set_test_file):
            OmegaConf.register_new_resolver(function.__name__, function)
        if environment:
            OmegaConf.register_new_resolver(ENVIRONMENT, oc.env)
        yield
    finally:
        BaseContainer._resolvers = others


def refusal(name: str, setting: str) -> str:
    """Says that a setting has a reference of this name, and what to do."""
    where = setting or "a setting"
    if name == ENVIRONMENT:
        return (
            f"{where} asks for an environment variable, ${{{name}:...}}; if you trust what asks, allow it on "
            "the command line with allow_env=true"
        )
    return f"{where} has ${{{name}:...}}; settings may refer only to other settings, such as ${{input}}"
