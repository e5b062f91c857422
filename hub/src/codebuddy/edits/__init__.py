"""The edit engine: changes to any number of files in any number of projects, applied whole or not at all, and undone.

In the order in which an edit passes through them:

``models``, ``drafting``   wanted changes as they travel; put into a draft
``draft``, ``images``      the files as they would be; what is on the disk now
``plan``                   what comes out: each thing once, what it is and what it will be
``engine``                 check, journal, stage, sync, commit, with ``locks``
``worksite``, ``spots``    the plan on the disk: open directories, compared with what is there
``journal``, ``records``   the log that decides after a crash, and what is in it
``staging``, ``names``     new content beside its target, under temporary names
``committing``             the steps in their order, all of them or none
``steps``, ``rewriting``, ``placing``   one step each, which can be taken back
``disk``                   every call that changes something
``settling``               what can wait: removing the old, syncing directories
``recovery``, ``undo``     after a crash; and turned around
``answers``, ``summaries`` what the tools answer
"""
