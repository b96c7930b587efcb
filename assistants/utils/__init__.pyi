from . import api_keys as api_keys
from . import templating as templating
from .config_files import NAME_PATTERN as NAME_PATTERN
from .config_files import Document as Document
from .config_files import Place as Place
from .config_files import StrictModel as StrictModel
from .config_files import check_name as check_name
from .config_files import display_path as display_path
from .config_files import parse_toml as parse_toml
from .config_files import parse_yaml as parse_yaml
from .config_files import read_text as read_text
from .config_files import to_yaml as to_yaml
from .config_files import validate as validate
from .display import Displayable as Displayable
from .display import notebook_html as notebook_html
from .display import run_sections as run_sections
from .files import write_atomically as write_atomically
from .imports import quick_imports as quick_imports
from .paths import cache_root as cache_root
from .paths import packaged_path as packaged_path
from .plugins import LeftOut as LeftOut
from .plugins import Plugin as Plugin
from .plugins import PluginGroup as PluginGroup
from .plugins import PluginWarning as PluginWarning
from .plugins import are_plugins_enabled as are_plugins_enabled
from .plugins import warn_left_out as warn_left_out
from .plugins import without_plugins as without_plugins
from .sentence_splitter import Sentences as Sentences
from .sentence_splitter import split_sentences as split_sentences
from .templating import has_variables as has_variables
from .text import escape_control_chars as escape_control_chars
from .text import from_utf8 as from_utf8
from .text import pluralize as pluralize
from .text import to_json as to_json
from .text import to_utf8 as to_utf8
from .text import truncate_line as truncate_line
from .threads import run_in_daemon_thread as run_in_daemon_thread
from .urls import Address as Address
from .urls import Endpoint as Endpoint
from .urls import check_url as check_url
from .urls import is_loopback as is_loopback
from .words import words_in as words_in

__all__ = [
    "NAME_PATTERN",
    "Address",
    "Displayable",
    "Document",
    "Endpoint",
    "LeftOut",
    "Place",
    "Plugin",
    "PluginGroup",
    "PluginWarning",
    "Sentences",
    "StrictModel",
    "api_keys",
    "are_plugins_enabled",
    "cache_root",
    "check_name",
    "check_url",
    "display_path",
    "escape_control_chars",
    "from_utf8",
    "has_variables",
    "is_loopback",
    "notebook_html",
    "packaged_path",
    "parse_toml",
    "parse_yaml",
    "pluralize",
    "quick_imports",
    "read_text",
    "run_in_daemon_thread",
    "run_sections",
    "split_sentences",
    "templating",
    "to_json",
    "to_utf8",
    "to_yaml",
    "truncate_line",
    "validate",
    "warn_left_out",
    "without_plugins",
    "words_in",
    "write_atomically",
]
