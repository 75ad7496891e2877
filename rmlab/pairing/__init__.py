"""Pairings choose which responses are compared."""

from rmlab.lazy import lazily

_MODULES = {
    "CrossPrompt": "across_prompts",
    "GlobalOrder": "across_prompts",
    "Lists": "within_prompt",
    "ResponseSets": "response_sets",
    "SamePrompt": "within_prompt",
    "Unpaired": "within_prompt",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
