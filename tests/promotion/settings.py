"""Settings of the gate for tests, independent of params.yaml."""

from groundup.promotion.config import GateConfig, RetrainConfig

GATE = GateConfig(
    yearly_error=0.05,
    power=0.9,
    confidence=0.95,
    smallest_gain=0.002,
    smallest_bits_gain=0.002,
    veto_level=0.01,
    min_slice_rows=20,
    max_ece_increase=0.02,
    max_latency_ratio=1.5,
    max_size_ratio=1.5,
    max_forgetting=0.05,
    bootstrap_samples=500,
    instances=1000,
    seed=1,
)
WEEKLY = RetrainConfig(cron="0 3 * * 1", timezone="UTC", gate=GATE)
