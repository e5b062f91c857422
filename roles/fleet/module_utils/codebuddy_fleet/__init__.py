"""Plans and converges a CodeBuddy fleet: the logic behind the modules of this role.

Data flows in one direction::

    declaration -> planner -> plan -----------+
                                              +-> differ -> executor -> health -> generations
    engine -> engine_responses -> observed ---+

Planner, differ and the translations are pure: they use no engine, no file system and no clock.
"""
