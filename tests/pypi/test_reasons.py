"""What uv says of requirements that cannot hold, read as reasons."""

from __future__ import annotations

import pytest

from cape.sources.pypi.tool import reasons_of


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        (
            "No solution found cause: Because flask==2.0.0 depends on jinja2>=3.0 "
            "and you require flask==2.0, we can conclude that you require jinja2>=3.0. And because you "
            "require jinja2<3, we can conclude that your requirements are unsatisfiable.",
            ["`flask` 2.0.0 needs `jinja2>=3.0`"],
        ),
        (
            "cause: Because the requested Python version (>=3.9) does not satisfy Python>=3.12 and "
            "numpy>=2.5.0rc1 depends on Python>=3.12, we can conclude that numpy>=2.5.0rc1 cannot be used. "
            "(1) Because only the following versions of numpy are available: numpy<=2.4.6 numpy>=2.5.0rc1 we "
            "can conclude that numpy>=2.4.2,<2.5.0rc1 cannot be used. And because we know from (1) that "
            "numpy>=2.5.0rc1 cannot be used, we can conclude that numpy>=2.4.2 cannot be used. hint: While",
            ["`numpy>=2.5.0rc1` needs Python >=3.12"],
        ),
        (
            "cause: Because app==2.0 requires Python >=3.14 and only app<=2.0 is available, we can conclude "
            "that app>=2.0 cannot be used.",
            ["`app` 2.0 needs Python >=3.14"],
        ),
        (
            "cause: Because all of: numba<=0.54.0 numba>=0.54.1,<=0.57.1 have no usable wheels and only the "
            "following versions of numba are available: numba<=0.54.0 we can conclude that all of: numba<0.54"
            " cannot be used. And because numba==0.54.1rc1 has no wheels with a matching Python version tag "
            "(e.g., `cp313`), we can conclude that numba<=0.57.1 cannot be used.",
            [
                "none of `numba<=0.54.0 numba>=0.54.1,<=0.57.1` has a wheel that fits",
                "`numba` 0.54.1rc1 has no wheel that fits",
            ],
        ),
    ],
)
def test_what_a_proof_of_uv_rests_on_is_read_out_of_it(said: str, reasons: list[str]) -> None:
    assert list(reasons_of(said)) == reasons
