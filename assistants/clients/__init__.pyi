from .base import Client as Client
from .base import known_rate_limits as known_rate_limits
from .base import start_concurrency as start_concurrency
from .embeddings.base import Embedder as Embedder
from .embeddings.factory import connect_embedder as connect_embedder
from .factory import connect as connect
from .factory import endpoint as endpoint
from .health import ProviderStatus as ProviderStatus
from .health import check_providers as check_providers
from .isolated import IsolatedClient as IsolatedClient
from .llamacpp.download import add_model as add_model
from .llamacpp.download import fetch_weights as fetch_weights
from .llamacpp.download import is_hub_reference as is_hub_reference
from .llamacpp.thread_benchmark import ThreadBenchmark as ThreadBenchmark
from .llamacpp.thread_benchmark import measure_threads as measure_threads
from .llamacpp.thread_benchmark import stored_thread_benchmark as stored_thread_benchmark
from .llamacpp.weights import EMBEDDED_MODELS as EMBEDDED_MODELS
from .llamacpp.weights import default_model as default_model
from .llamacpp.weights import embedded_names as embedded_names
from .llamacpp.weights import weights_path as weights_path
from .openai.batches import Batch as Batch
from .openai.batches import BatchClient as BatchClient
from .openai.batches import BatchFile as BatchFile
from .openai.client import OpenAIClient as OpenAIClient
from .openai.logprobs import LogprobsUnavailableError as LogprobsUnavailableError
from .openai.logprobs import Tokens as Tokens
from .openai.logprobs import answer_logprobs as answer_logprobs
from .openai.logprobs import answer_tokens as answer_tokens
from .openai.logprobs import prompt_tokens as prompt_tokens
from .openai.logprobs import prompt_tokens_without_reasoning as prompt_tokens_without_reasoning
from .openai.observations import Observations as Observations
from .openai.observations import all_observed as all_observed
from .openai.observations import describe_observations as describe_observations
from .openai.observations import refused_parameters as refused_parameters
from .openai.rendered_prompt import RenderedPrompt as RenderedPrompt
from .openai.rendered_prompt import RenderMethod as RenderMethod
from .openai.rendered_prompt import count_tokens as count_tokens
from .openai.rendered_prompt import ignores_chat_template as ignores_chat_template
from .openai.rendered_prompt import render_prompt as render_prompt
from .openai.request import Timeouts as Timeouts
from .openai.response import raise_malformed as raise_malformed
from .openai.response import read_json_object as read_json_object
from .plugins import ClientPlugin as ClientPlugin
from .rate_limits import Quota as Quota
from .rate_limits import RateLimits as RateLimits
from .scripted import ScriptedClient as ScriptedClient
from .scripted import echo as echo
from .tape import Tape as Tape
from .tape import TapedClient as TapedClient
from .tape import request_digest as request_digest
from .vllm import registry as registry
from .vllm.engine_options import answer_affecting_options as answer_affecting_options
from .vllm.interpreter import vllm_python as vllm_python
from .vllm.metrics import Metrics as Metrics
from .vllm.metrics import PrefixCache as PrefixCache
from .vllm.metrics import prefix_cache_usage as prefix_cache_usage
from .vllm.metrics import read_metrics as read_metrics
from .vllm.metrics import read_prefix_cache as read_prefix_cache
from .vllm.metrics import read_prefix_caches as read_prefix_caches
from .vllm.registry import ServerRecord as ServerRecord
from .vllm.weights import folder_of as folder_of
from .vllm.weights import weights_digest as weights_digest

__all__ = [
    "EMBEDDED_MODELS",
    "Batch",
    "BatchClient",
    "BatchFile",
    "Client",
    "ClientPlugin",
    "Embedder",
    "IsolatedClient",
    "LogprobsUnavailableError",
    "Metrics",
    "Observations",
    "OpenAIClient",
    "PrefixCache",
    "ProviderStatus",
    "Quota",
    "RateLimits",
    "RenderMethod",
    "RenderedPrompt",
    "ScriptedClient",
    "ServerRecord",
    "Tape",
    "TapedClient",
    "ThreadBenchmark",
    "Timeouts",
    "Tokens",
    "add_model",
    "all_observed",
    "answer_affecting_options",
    "answer_logprobs",
    "answer_tokens",
    "check_providers",
    "connect",
    "connect_embedder",
    "count_tokens",
    "default_model",
    "describe_observations",
    "echo",
    "embedded_names",
    "endpoint",
    "fetch_weights",
    "folder_of",
    "ignores_chat_template",
    "is_hub_reference",
    "known_rate_limits",
    "measure_threads",
    "prefix_cache_usage",
    "prompt_tokens",
    "prompt_tokens_without_reasoning",
    "raise_malformed",
    "read_json_object",
    "read_metrics",
    "read_prefix_cache",
    "read_prefix_caches",
    "refused_parameters",
    "registry",
    "render_prompt",
    "request_digest",
    "start_concurrency",
    "stored_thread_benchmark",
    "vllm_python",
    "weights_digest",
    "weights_path",
]
