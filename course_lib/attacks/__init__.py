"""What happens to a picture once it is published: JPEG, rescaling, blur, noise, crops, strokes.

Two faces of each attack: a differentiable one for batches inside networks (`chain.attack`), and
the real one for files (`chain.published`). This package and its `codec` import no torch.
"""
