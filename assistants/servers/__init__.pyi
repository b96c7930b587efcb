from .gguf_conversion import as_safetensors as as_safetensors
from .gpus import CARDS as CARDS
from .gpus import GIB as GIB
from .gpus import Gpu as Gpu
from .gpus import find_gpus as find_gpus
from .gpus import gib as gib
from .gpus import parse_gpus as parse_gpus
from .gpus import parse_size as parse_size
from .health import QUESTION as QUESTION
from .health import ServerStatus as ServerStatus
from .health import SmokeResult as SmokeResult
from .health import is_healthy as is_healthy
from .health import server_status as server_status
from .health import smoke_test as smoke_test
from .launch_options import LOOPBACK as LOOPBACK
from .launch_options import LaunchOptions as LaunchOptions
from .measurements import load_measurements as load_measurements
from .measurements import measure_start as measure_start
from .measurements import save_measurements as save_measurements
from .plan_file import Planned as Planned
from .plan_file import matches_plan as matches_plan
from .plan_file import plan_of_launch as plan_of_launch
from .plan_file import read_plan as read_plan
from .planning import AIMS as AIMS
from .planning import Aim as Aim
from .planning import Architecture as Architecture
from .planning import KVCache as KVCache
from .planning import MemoryRequirement as MemoryRequirement
from .planning import ModelRequest as ModelRequest
from .planning import PlacedServer as PlacedServer
from .planning import Plan as Plan
from .planning import StartMeasurement as StartMeasurement
from .planning import Unplaced as Unplaced
from .planning import kv_bytes_per_extra_token as kv_bytes_per_extra_token
from .planning import kv_cache as kv_cache
from .planning import make_plan as make_plan
from .planning import memory_requirement as memory_requirement
from .planning import read_model as read_model
from .planning import token_bytes as token_bytes
from .processes import find_server as find_server
from .processes import remove_stale as remove_stale
from .processes import stop_server as stop_server
from .server import Server as Server
from .server import home_relative as home_relative
from .server import serve as serve
from .server import server_card as server_card
from .server import server_rows as server_rows
from .server import servers as servers
from .startup import ProgressCallback as ProgressCallback
from .startup import StartProgress as StartProgress
from .startup import report_stages as report_stages
from .startup import start_server as start_server

__all__ = [
    "AIMS",
    "CARDS",
    "GIB",
    "LOOPBACK",
    "QUESTION",
    "Aim",
    "Architecture",
    "Gpu",
    "KVCache",
    "LaunchOptions",
    "MemoryRequirement",
    "ModelRequest",
    "PlacedServer",
    "Plan",
    "Planned",
    "ProgressCallback",
    "Server",
    "ServerStatus",
    "SmokeResult",
    "StartMeasurement",
    "StartProgress",
    "Unplaced",
    "as_safetensors",
    "find_gpus",
    "find_server",
    "gib",
    "home_relative",
    "is_healthy",
    "kv_bytes_per_extra_token",
    "kv_cache",
    "load_measurements",
    "make_plan",
    "matches_plan",
    "measure_start",
    "memory_requirement",
    "parse_gpus",
    "parse_size",
    "plan_of_launch",
    "read_model",
    "read_plan",
    "remove_stale",
    "report_stages",
    "save_measurements",
    "serve",
    "server_card",
    "server_rows",
    "server_status",
    "servers",
    "smoke_test",
    "start_server",
    "stop_server",
    "token_bytes",
]
