"""When a request may start: rates, windows, and what a server says about them."""

from .limiter import LimitPolicy as LimitPolicy
