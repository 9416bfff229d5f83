"""Random small networks for property tests: lists of layers that hypothesis draws and shrinks."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax import lax

DIMENSIONS = {"NHWC": ("NHWC", "HWIO", "NHWC"), "NCHW": ("NCHW", "OIHW", "NCHW")}

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
small_pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
paddings = st.sampled_from(["SAME", "VALID"]) | st.tuples(small_pads, small_pads)
convolutions = st.tuples(
    st.just("convolution"),
    st.fixed_dictionaries(
        {
            "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
            "stride": pairs,
            "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
            "padding": paddings,
            "groups": st.sampled_from([1, 1, 2, 4]),
        }
    ),
)
pools = st.tuples(
    st.sampled_from(["max_pool", "average_pool", "average_pool_counted"]),
    st.fixed_dictionaries({"window": pairs, "stride": pairs, "padding": st.sampled_from(["SAME", "VALID"])}),
)
others = st.tuples(
    st.sampled_from(
        ["relu", "gelu", "batch_norm", "slices_pool", "residual", "concat", "channel_softmax", "pad", "crop", "reverse"]
    ),
    st.fixed_dictionaries({}),
)
heads = st.sampled_from(["mean", "max", "flatten", "maps", "cumsum_rows", "gate"])
networks = st.fixed_dictionaries(
    {
        "layers": st.lists(convolutions | pools | others, min_size=1, max_size=5),
        "head": heads,
        "layout": st.sampled_from(["NHWC", "NHWC", "NCHW"]),
        "size": st.tuples(st.integers(7, 17), st.integers(7, 17)),
        "window": st.tuples(st.integers(1, 6), st.integers(1, 6)),
        "batch": st.integers(1, 2),
        "groups": st.sampled_from([1, 4, 9]),
        "memory": st.sampled_from([2**30, 20_000, 60_000]),
        "seed": st.integers(0, 2**16),
    }
)


def function(description):
    """The network as a function of (n h w c) images with four channels inside; layers that do not fit are left out."""
    layout = description["layout"]
    axes = (1, 2) if layout == "NHWC" else (2, 3)
    channel = 3 if layout == "NHWC" else 1

    def weight(position, *shape):
        random = np.random.default_rng(description["seed"] + position)
        return jnp.asarray(random.normal(0, 1 / np.sqrt(max(1, np.prod(shape[:-1]))), shape), jnp.float32)

    def per_channel(position, count):
        shape = [1, 1, 1, 1]
        shape[channel] = count
        return weight(position, count).reshape(shape) + 1.0

    def pooled(x, options, init, op):
        window, strides = [1, 1, 1, 1], [1, 1, 1, 1]
        for axis, length, step in zip(axes, options["window"], options["stride"], strict=True):
            window[axis], strides[axis] = length, step
        return lax.reduce_window(x, init, op, window, strides, options["padding"])

    def part(x, axis, start, step=1):
        return lax.slice_in_dim(x, start, x.shape[axis], step, axis=axis)

    def layer(x, position, kind, options):
        count = x.shape[channel]
        if kind == "convolution":
            groups = options["groups"] if count % options["groups"] == 0 else 1
            kernel = weight(position, *options["kernel"], count // groups, 4)
            kernel = kernel if layout == "NHWC" else kernel.transpose(3, 2, 0, 1)
            return lax.conv_general_dilated(
                x,
                kernel,
                options["stride"],
                options["padding"],
                rhs_dilation=options["dilation"],
                dimension_numbers=DIMENSIONS[layout],
                feature_group_count=groups,
            )
        if kind == "max_pool":
            return pooled(x, options, -jnp.inf, lax.max)
        if kind == "average_pool":
            return pooled(x, options, 0.0, lax.add) / float(np.prod(options["window"]))
        if kind == "average_pool_counted":
            return pooled(x, options, 0.0, lax.add) / pooled(jnp.ones_like(x), options, 0.0, lax.add)
        if kind == "slices_pool":
            rows, columns = (x.shape[axis] // 2 * 2 for axis in axes)
            x = lax.slice_in_dim(lax.slice_in_dim(x, 0, rows, axis=axes[0]), 0, columns, axis=axes[1])
            x = jnp.maximum(part(x, axes[0], 0, 2), part(x, axes[0], 1, 2))
            return jnp.maximum(part(x, axes[1], 0, 2), part(x, axes[1], 1, 2))
        if kind == "residual":
            kernel = weight(position, 3, 3, count, count)
            kernel = kernel if layout == "NHWC" else kernel.transpose(3, 2, 0, 1)
            return x + lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS[layout])
        if kind == "concat":
            return jnp.concatenate([x, jnp.tanh(x) * per_channel(position, count)], axis=channel)[
                tuple(slice(0, 4) if axis == channel else slice(None) for axis in range(4))
            ]
        if kind == "pad":
            widths = [(0, 0)] * 4
            widths[axes[0]], widths[axes[1]] = (1, 2), (0, 1)
            return jnp.pad(x, widths, constant_values=0.5)
        if kind == "crop":
            return part(part(x, axes[0], 1), axes[1], 1)
        return {
            "relu": jax.nn.relu,
            "gelu": jax.nn.gelu,
            "batch_norm": lambda x: (x - per_channel(position, count)) * lax.rsqrt(per_channel(position, count) ** 2),
            "channel_softmax": lambda x: jax.nn.softmax(x, axis=channel) * 4.0,
            "reverse": lambda x: jnp.flip(x, axes[1]),
        }[kind](x)

    def fn(images):
        x = images if layout == "NHWC" else images.transpose(0, 3, 1, 2)
        for position, (kind, options) in enumerate(description["layers"]):
            shape = jax.eval_shape(lambda x, p=position, k=kind, o=options: layer(x, p, k, o), x).shape
            if min(shape) > 0:
                x = layer(x, position, kind, options)
        if description["head"] == "maps":
            return x
        if description["head"] == "mean":
            return x.mean(axes)
        if description["head"] == "max":
            return x.max(axes)
        if description["head"] == "cumsum_rows":
            return jnp.cumsum(x, axes[0]).mean(axes)
        if description["head"] == "gate":
            return jax.nn.relu(x * jax.nn.sigmoid(x.mean(axes, keepdims=True))).sum(axes)
        flat = x.reshape(x.shape[0], -1)
        return {"logits": flat @ weight(99, flat.shape[1], 3), "scale": jnp.float32(2.0)}["logits"]

    return fn
