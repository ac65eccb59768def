"""Gives a Robot Framework suite the run's parameters: each as ${name}, all as &{PARAMS}.

They win over the suite's own variables of the same name, which are therefore its defaults.
"""

from __future__ import annotations

import re
from typing import Any

from rpa_own import rpa


def get_variables() -> dict[str, Any]:
    values = rpa.params()
    plain = {
        name: value
        for name, value in values.items()
        if re.fullmatch(r"[^\W\d]\w*", name) and "__" not in name
    }
    return {**plain, "DICT__PARAMS": values}
