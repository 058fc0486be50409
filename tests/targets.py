"""One target for each set of forms: what is emitted depends on nothing else."""

from lrpc.emit.targets import TARGETS

DISTINCT = list({tuple(sorted(target.forms.items())): target for target in TARGETS.values()}.values())
