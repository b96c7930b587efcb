from .markdown import LANGUAGES as LANGUAGES
from .markdown import MAX_CHARACTERS as MAX_CHARACTERS
from .markdown import clean as clean
from .markdown import escape as escape
from .markdown import finished_html as finished_html
from .markdown import to_html as to_html
from .persona_improvement import improvement as improvement
from .render import ABSENT as ABSENT
from .render import Html as Html
from .render import render_template as render_template
from .render import stylesheet as stylesheet
from .render import table as table
from .render import text_table as text_table
from .render import ui as ui
from .reprs import page as page
from .reprs import personas_table as personas_table
from .reprs import source_label as source_label
from .run_statistics import OutputGroup as OutputGroup
from .run_statistics import contrasts as contrasts
from .run_statistics import costs as costs
from .run_statistics import details as details
from .run_statistics import effects as effects
from .run_statistics import endings as endings
from .run_statistics import migration as migration
from .run_statistics import models as models
from .run_statistics import prompt_audit as prompt_audit
from .run_statistics import techniques as techniques
from .run_statistics import votes as votes
from .run_statistics import wording as wording
from .run_summary import answer_facts as answer_facts
from .run_summary import failures as failures
from .run_summary import means as means
from .run_summary import opening as opening
from .run_summary import overview as overview
from .run_summary import prompt_html as prompt_html
from .run_summary import prompts as prompts
from .run_summary import side_by_side as side_by_side
from .sections import run_sections as run_sections
from .techniques import techniques_html as techniques_html
from .word_diff import WordDiff as WordDiff
from .word_diff import compare_words as compare_words

__all__ = [
    "ABSENT",
    "LANGUAGES",
    "MAX_CHARACTERS",
    "Html",
    "OutputGroup",
    "WordDiff",
    "answer_facts",
    "clean",
    "compare_words",
    "contrasts",
    "costs",
    "details",
    "effects",
    "endings",
    "escape",
    "failures",
    "finished_html",
    "improvement",
    "means",
    "migration",
    "models",
    "opening",
    "overview",
    "page",
    "personas_table",
    "prompt_audit",
    "prompt_html",
    "prompts",
    "render_template",
    "run_sections",
    "side_by_side",
    "source_label",
    "stylesheet",
    "table",
    "text_table",
    "to_html",
    "ui",
    "votes",
    "wording",
]
