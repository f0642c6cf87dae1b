from .widen import widened as widened
