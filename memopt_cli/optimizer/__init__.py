"""Connection state that costs little: records, shared handshakes, a codec, collector tuning."""

from __future__ import annotations

from memopt_cli.optimizer.capabilities import Capabilities, CapabilityStats, CapabilityStore
from memopt_cli.optimizer.codec import decode, encode
from memopt_cli.optimizer.compression import CompressionReport, compression_report
from memopt_cli.optimizer.fields import MetadataValue, Phase, RequestId
from memopt_cli.optimizer.gc_effect import GcEffect
from memopt_cli.optimizer.gc_pauses import GcPauses, PauseCounts, Pauses
from memopt_cli.optimizer.gc_tuning import Collector, GcProfile, GcTuning
from memopt_cli.optimizer.retention import PayloadStore
from memopt_cli.optimizer.sizes import StateSize
from memopt_cli.optimizer.state import CompactState
from memopt_cli.optimizer.state_pool import StatePool

__all__ = [
    "Capabilities",
    "CapabilityStats",
    "CapabilityStore",
    "Collector",
    "CompactState",
    "CompressionReport",
    "GcEffect",
    "GcPauses",
    "GcProfile",
    "GcTuning",
    "MetadataValue",
    "PauseCounts",
    "Pauses",
    "PayloadStore",
    "Phase",
    "RequestId",
    "StatePool",
    "StateSize",
    "compression_report",
    "decode",
    "encode",
]
