"""The zero-shot methods that FB-CLIP is compared with, one a file, behind one interface (`output.py`).

Each is restated from its paper and from what its released code computes; where the two differ the code decides, since
only it loads the released weights. No code of theirs is used here.
"""
