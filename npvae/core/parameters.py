"""Where parameters live: each layer names its own; a model gathers them all into one vector theta, beside one gradient vector.

The arrays that a layer shows, layer.W and layer.dW, are then views into the two vectors: one memory, seen twice. So an optimizer, a
norm, a check or a checkpoint handles a single 1-D array, while the layers read like their equations. The one thing that could tear
the two apart is rebinding layer.W; therefore assigning to it copies into the array that is there.
"""

import copy

import numpy as np


class Layer:
    """The base class of everything with forward and backward; a subclass names its parameters and assigns them once.

        class Scale(Layer):                                     # y = x g, one factor a column
            parameters = ("g",)
            def __init__(self, n):
                self.g = np.ones(n)                             # makes self.dg, too
            def forward(self, x):
                return x * self.g, x                            # y, and the cache that backward needs
            def backward(self, dy, x, need_dx=True):
                self.dg = np.sum(dy * x, axis=0)                # assigned, never accumulated
                return dy * self.g if need_dx else None

    A layer holds parameters, never activations. One that is made of other layers lists them in self.layers.
    """

    parameters: tuple[str, ...] = ()
    layers: list["Layer"] | tuple = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if isinstance(cls.parameters, str):  # a forgotten comma
            raise TypeError(f'{cls.__name__}: parameters must be a tuple of names, ("{cls.parameters}",), got a text.')

    def __setattr__(self, name, value):
        if name not in self.parameters and not (name[:1] == "d" and name[1:] in self.parameters):
            object.__setattr__(self, name, value)
        elif name not in self.__dict__:
            value = np.array(value)
            if not np.issubdtype(value.dtype, np.inexact):
                raise TypeError(f"{type(self).__name__}.{name} must be an array of floats, got {value.dtype}.")
            self.__dict__[name] = value
            self.__dict__.setdefault("d" + name, np.zeros_like(value))
        elif value is not self.__dict__[name]:  # it is the same array after layer.W *= 2, which has written already
            there, value = self.__dict__[name], np.asarray(value)
            if value.shape != there.shape:
                raise ValueError(f"{type(self).__name__}.{name} has shape {there.shape}; got {value.shape}.")
            if np.iscomplexobj(value) and not np.iscomplexobj(there):
                raise TypeError(
                    f"{type(self).__name__}.{name} is real ({there.dtype}); for complex values make a twin: .astype(complex)."
                )
            np.copyto(there, value, casting="same_kind")

    def config(self):
        """What the library needs to build the layer again: its name and its constructor's arguments, as plain data."""
        kind = type(self)
        return {"type": kind.__name__ if kind.__module__.startswith("npvae.") else f"{kind.__module__}.{kind.__qualname__}"}

    def astype(self, dtype):
        """A twin with parameters of its own in another dtype: complex128 for the complex step, float64 to check."""
        if not np.issubdtype(dtype, np.inexact):
            raise TypeError(f"{type(self).__name__}.astype: dtype must be one of floats, got {np.dtype(dtype)}.")
        twin = copy.deepcopy(self)
        for _, layer, name in named_parameters("", [twin]):
            value = layer.__dict__[name].astype(dtype)
            layer.__dict__.update({name: value, "d" + name: np.zeros_like(value)})
        return twin

    def __getstate__(self):  # for copies and pickles, which no model owns
        return {name: value for name, value in self.__dict__.items() if name != "_gathered"}


def named_parameters(prefix, layers):
    """Yield (name, layer, parameter) in forward order; the name is prefix, position and parameter: "encoder.2.W"."""
    for i, layer in enumerate(layers):
        for parameter in layer.parameters:
            yield f"{prefix}{i}.{parameter}", layer, parameter
        yield from named_parameters(f"{prefix}{i}.", layer.layers)


class ParamVector:
    """All parameters of a model in one vector theta (P,), their gradient in grad (P,); iterating gives (name, value, gradient).

        params = ParamVector({"encoder": [layer, ...], "decoder": [...]}, np.float32)
        params.theta *= 1.5                                    # reaches every layer.W and layer.b

    Gathering moves the layers' values into theta and leaves views in their place. Raises ValueError if a layer comes twice or
    belongs to another model: two models would then train one memory. (layer.astype(dtype) is a copy that belongs to nobody.)
    """

    def __init__(self, groups, dtype):
        slots = [slot for group, layers in groups.items() for slot in named_parameters(f"{group}.", layers)]
        seen = set()
        for name, layer, parameter in slots:
            if (id(layer), parameter) in seen:
                raise ValueError(f"{name}: this {type(layer).__name__} stands in the model twice; make a second one.")
            if "_gathered" in layer.__dict__:
                raise ValueError(
                    f"{name}: this {type(layer).__name__} belongs to another model already; "
                    "make a new one, or copy it with .astype(dtype)."
                )
            if parameter not in layer.__dict__:
                raise ValueError(f"{name}: {type(layer).__name__} names this parameter but never assigns it.")
            seen.add((id(layer), parameter))
        P = sum(layer.__dict__[parameter].size for _, layer, parameter in slots)
        self._theta, self._grad = np.empty(P, dtype), np.zeros(P, dtype)
        self._named = []
        start = 0
        for name, layer, parameter in slots:
            value = layer.__dict__[parameter]
            stop = start + value.size
            W, dW = (vector[start:stop].reshape(value.shape) for vector in (self._theta, self._grad))  # views
            W[...] = value
            layer.__dict__.update({parameter: W, "d" + parameter: dW, "_gathered": True})
            self._named.append((name, W, dW))
            start = stop

    def __iter__(self):
        return iter(self._named)

    def __reduce_ex__(self, protocol):  # a copy of the vector would be joined to no layer
        raise TypeError("ParamVector: copy the model with its layers, or only the numbers: params.theta.copy().")

    @property
    def theta(self):
        """All parameters, (P,). Assigning copies into the vector."""
        return self._theta

    @theta.setter
    def theta(self, value):
        self._assign(self._theta, "theta", value)

    @property
    def grad(self):
        """dL/dtheta, (P,), as the last backward pass left it. Assigning copies into the vector."""
        return self._grad

    @grad.setter
    def grad(self, value):
        self._assign(self._grad, "grad", value)

    @staticmethod
    def _assign(vector, name, value):
        if np.shape(value) != vector.shape:
            raise ValueError(f"ParamVector.{name} has shape {vector.shape}; got {np.shape(value)}.")
        np.copyto(vector, value, casting="same_kind")

    @property
    def size(self):
        """P, the number of parameters."""
        return self._theta.size

    @property
    def dtype(self):
        """The dtype of theta and grad."""
        return self._theta.dtype
