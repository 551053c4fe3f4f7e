"""Values of section retrain, accepted and refused."""

import math
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.promotion.config import RetrainConfig
from tests.promotion.settings import GATE


def test_config_names_the_trouble() -> None:
    gate = asdict(GATE)
    sound = {"cron": "0 3 * * 1", "timezone": "UTC", "gate": gate}
    TypeAdapter(RetrainConfig).validate_python(sound)
    TypeAdapter(RetrainConfig).validate_python(sound | {"gate": gate | {"max_latency_ratio": math.inf}})
    for change, words in (
        ({"cron": "daily"}, "cron is 'daily'"),
        ({"timezone": "Mars"}, "IANA name, such as"),
        ({"timezone": None}, "timezone"),
        ({"gate": gate | {"yearly_error": 0}}, "yearly_error"),
        ({"gate": gate | {"yearly_error": math.nan}}, "yearly_error"),
        ({"gate": gate | {"power": 1}}, "power"),
        ({"gate": gate | {"veto": 0.01}}, "veto"),
        ({"gate": gate | {"instances": 0}}, "instances"),
    ):
        with pytest.raises(ValidationError, match=words):
            TypeAdapter(RetrainConfig).validate_python(sound | change)
