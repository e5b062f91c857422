"""How every writing tool makes its edit: plan it, format it, apply it, tell the spokes, compare the diagnostics.

It knows no tool and no schema. Files it changes through ``edits`` alone, and spokes it asks through ``links`` alone.

``editor``        the way of an edit from its plan to its answer
``formatting``    its texts, formatted by the language servers before they are written
``diagnostics``   what it did to errors and warnings: asked before and after, and compared
``text_matches``  a rename's places that no language server names, found by their text
"""
