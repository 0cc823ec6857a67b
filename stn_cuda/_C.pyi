INTERPOLATION_MODES: dict[str, int]
PADDING_MODES: dict[str, int]
PADDING_TAKES_FILL: dict[str, bool]
COORDINATE_CONVENTIONS: dict[str, int]
TRANSFORM_KINDS: dict[str, int]

def build_info() -> dict[str, str | None]: ...
