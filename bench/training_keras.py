"""One training step of VGG16 in Keras 3 on JAX, from jaxcam's weights: what a peer runs."""

from typing import Any

import jax
import numpy as np


class keras_step:
    """The jitted loop of Keras' guide "Writing a training loop from scratch in JAX"; calling it gives the loss."""

    def __init__(
        self, params: Any, moving: set[str], pixels: np.ndarray, labels: np.ndarray, *, rate: float, dtype: str
    ):
        import keras

        keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else "float32")
        base = keras.applications.VGG16(weights=None, include_top=False, input_shape=pixels.shape[1:])
        x = keras.layers.Flatten()(base.output)
        x = keras.layers.Dense(params["dense_1"]["kernel"].shape[1], activation="relu", name="dense_1")(x)
        model = keras.Model(base.input, keras.layers.Dense(2, name="predictions", dtype="float32")(x))
        for layer in model.layers:
            if layer.weights:
                layer.set_weights([np.asarray(params[layer.name][name]) for name in ("kernel", "bias")])
                layer.trainable = layer.name in moving
        optimiser = keras.optimizers.SGD(rate, momentum=0.9)
        optimiser.build(model.trainable_variables)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.rate, self.names = rate, [variable.path for variable in model.trainable_variables]

        def compute(trainable, other, x, y):
            logits, other = model.stateless_call(trainable, other, x, training=True)
            return loss(y, logits), other

        def step(trainable, other, state, x, y):
            (value, other), gradients = jax.value_and_grad(compute, has_aux=True)(trainable, other, x, y)
            trainable, state = optimiser.stateless_apply(state, gradients, trainable)
            return value, trainable, other, state

        # What stays is not donated: a frozen base is only read.
        self.step = jax.jit(step, donate_argnums=(0, 2))
        self.data = (jax.device_put(pixels), jax.device_put(labels))
        # Copies: a step donates them, and the model keeps its own.
        self.trainable = [jax.numpy.array(v.value) for v in model.trainable_variables]
        self.other = [v.value for v in model.non_trainable_variables]
        self.state = [jax.numpy.array(v.value) for v in optimiser.variables]
        self.momenta = [v.path for v in optimiser.variables]

    def __call__(self) -> Any:
        value, self.trainable, self.other, self.state = self.step(self.trainable, self.other, self.state, *self.data)
        return jax.block_until_ready((value, self.trainable))[0]

    def gradient(self, stage: str) -> np.ndarray:
        """Of a stage's kernel, after the first step: Keras' momentum is -rate times it."""
        place = next(i for i, path in enumerate(self.momenta) if f"{stage}_kernel" in path.replace("/", "_"))
        return np.asarray(self.state[place]) / -self.rate
