"""What the demo can do wrong, on request."""

from .spec import Fault as Fault
from .spec import Faults as Faults
from .spec import parse as parse
