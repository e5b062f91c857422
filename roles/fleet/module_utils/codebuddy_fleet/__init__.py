"""Plans and converges a CodeBuddy fleet: the logic behind the modules of this role.

The data flows one way::

    declaration -> planner -> plan ---+
                                      +-> differ -> executor -> health -> generations
    engine (inspect) -> observe ------+

The modules above the executor are pure: no engine, no file system, no clock.
"""
