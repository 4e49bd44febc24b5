"""The optimizer of nets of gates that are trained step by step, over all there is to learn from."""

from __future__ import annotations

from typing import Any

from graphsim.zoo.recipes import CheckerboardRecipe, LifeRecipe


def compile_with_adamw(keras: Any, model: Any, plan: LifeRecipe | CheckerboardRecipe) -> None:
    """Give a fresh model its optimizer, with variables, so that checkpoints hold them from the first on."""
    optimizer = keras.optimizers.AdamW(
        plan.learning_rate,
        weight_decay=plan.weight_decay,
        beta_1=plan.betas[0],
        beta_2=plan.betas[1],
        clipvalue=plan.clip,
        epsilon=1e-8,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
