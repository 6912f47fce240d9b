"""Hyperparameters: what `__init__` was given, kept with the checkpoint, and given again when it is loaded."""

from __future__ import annotations

import copy
import inspect
import pickle
import types
from argparse import Namespace
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn
from typing_extensions import Self

from litify.rank_zero import warn

NAME_KEY = "hparams_name"
HPARAMS_KEY = "hyper_parameters"
DATA_KEY = "datamodule_hyper_parameters"
OMEGACONF_KEY = "hparams_omegaconf"  # the hyperparameters were an OmegaConf object, and are to be one again
INSTANTIATOR_KEY = "_instantiator"
PAST_KEYS = ("hparams", "module_arguments")  # of Lightning before 1.0


class AttributeDict(dict[str, Any]):
    """A dictionary whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"There is no hyperparameter {name!r}; there are {sorted(map(str, self))}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"There is no hyperparameter {name!r}.") from None

    def __deepcopy__(self, memo: dict[int, Any]) -> AttributeDict:
        return AttributeDict({key: copy.deepcopy(value, memo) for key, value in self.items()})

    def __repr__(self) -> str:
        width = max((len(str(key)) for key in self), default=0) + 3
        return "\n".join(f"{f'{key!r}:':<{width}} {value}" for key, value in self.items())


class HyperparametersMixin:
    """`save_hyperparameters` and `hparams`, for modules and data modules."""

    _log_hyperparams: bool = False
    _hparams: Any

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: types.FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of `__init__` as `self.hparams`, in checkpoints and, with `logger`, in the loggers.

        Args:
            args: names of arguments to keep; or one dictionary or Namespace to keep instead; none means all arguments,
                those of subclasses included.
            ignore: names to leave out.
            frame: the frame of `__init__`, when called from elsewhere.
            logger: whether loggers get them too.

        Raises:
            ValueError: a single object that is neither a mapping nor a Namespace.
            AttributeError: called outside of `__init__` with no `frame`.
        """
        if len(args) == 1 and not isinstance(args[0], str) and not args[0]:
            return
        caller = inspect.currentframe()
        frame = frame or (caller.f_back if caller else None)
        if frame is None:
            raise AttributeError("save_hyperparameters finds no calling frame; pass frame=.")
        self._log_hyperparams = logger
        ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
        arguments = {key: value for key, value in _arguments(self, frame).items() if key not in ignored}
        self._hparams_name, found = _choose(args, arguments)
        self._set_hparams(found)
        for key in ignored:
            self._hparams.pop(key, None)
        _check_modules(self._hparams)
        self._hparams_initial = copy.deepcopy(self._hparams)

    def _set_hparams(self, found: Any) -> None:
        if isinstance(found, Namespace):
            found = vars(found)
        if isinstance(found, dict):
            found = AttributeDict(found)
        elif not isinstance(found, MutableMapping):
            raise ValueError(
                f"save_hyperparameters got a {type(found).__name__}; pass argument names, a dictionary or a Namespace."
            )
        if isinstance(found, dict) and isinstance(self.hparams, dict):
            self.hparams.update(found)
        else:
            self._hparams = found

    @property
    def hparams(self) -> Any:
        """The hyperparameters kept by `save_hyperparameters`, as attributes and as a dictionary. Mutable."""
        if "_hparams" not in vars(self):
            self._hparams = AttributeDict()
        return self._hparams

    @hparams.setter
    def hparams(self, found: Any) -> None:
        from litify.classic.hints import hint

        hint("self.hparams = hparams", "self.save_hyperparameters(hparams)")
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_name != "__init__":
            frame = frame.f_back
        self.save_hyperparameters(found, frame=frame)

    @property
    def hparams_initial(self) -> Any:
        """A copy of the hyperparameters as they were first kept."""
        return copy.deepcopy(vars(self).get("_hparams_initial", AttributeDict()))


def _arguments(instance: Any, frame: types.FrameType) -> dict[str, Any]:
    """What the `__init__` methods of one instance, from the innermost frame outwards, were called with."""
    import dataclasses

    if dataclasses.is_dataclass(instance):
        return {
            field.name: getattr(instance, field.name) for field in dataclasses.fields(instance) if field.init
        }
    found: dict[str, Any] = {}
    current: types.FrameType | None = frame
    while current is not None:
        values = current.f_locals
        name = current.f_code.co_name
        if name == "__init__" and current.f_code.co_argcount:
            own = values.get(current.f_code.co_varnames[0])
            if own is instance:
                found.update(_frame_arguments(current))
            elif isinstance(own, HyperparametersMixin):
                break
        current = current.f_back
    return found


def _frame_arguments(frame: types.FrameType) -> dict[str, Any]:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[1:count]
    found = {name: frame.f_locals[name] for name in names if name in frame.f_locals}
    if code.co_flags & inspect.CO_VARKEYWORDS:
        extra = code.co_varnames[count + bool(code.co_flags & inspect.CO_VARARGS)]
        found.update(frame.f_locals.get(extra, {}))
    return found


def _choose(args: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[str | None, Any]:
    objects = [arg for arg in args if not isinstance(arg, str)]
    if not args:
        return ("kwargs" if arguments else None), arguments
    if len(objects) == 1:
        name = next((key for key, value in arguments.items() if value is objects[0]), None)
        return name, objects[0]
    missing = [arg for arg in args if isinstance(arg, str) and arg not in arguments]
    if missing:
        raise ValueError(
            f"save_hyperparameters: {missing} are no arguments of __init__; those are {sorted(arguments)}."
        )
    return "kwargs", {arg: arguments[arg] for arg in args if isinstance(arg, str)}


def _check_modules(found: Mapping[str, Any]) -> None:
    for key, value in found.items():
        if isinstance(value, nn.Module):
            warn(
                f"The hyperparameter {key!r} is a module, whose weights the checkpoint holds already: leave it out by "
                f"save_hyperparameters(ignore=[{key!r}])."
            )


def is_picklable(value: Any) -> bool:
    """Whether a checkpoint can hold it."""
    if isinstance(value, (str, int, float, bool, type(None), nn.Module)):
        return not isinstance(value, torch.jit.ScriptModule)
    try:
        pickle.dumps(value)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError):
        return False
    return True


def clean_namespace(hparams: MutableMapping[str, Any]) -> None:
    """Take out what a checkpoint could not hold, with a warning."""
    for key, value in list(hparams.items()):
        if not is_picklable(value):
            warn(
                f"The hyperparameter {key!r} cannot be pickled, so no checkpoint can hold it: it is left out of hparams."
            )
            del hparams[key]


def to_checkpoint(instance: Any, checkpoint: dict[str, Any], key: str) -> None:
    """Put an instance's hyperparameters into a checkpoint, with the name of the argument that takes them."""
    found = instance.hparams
    if found:
        name = getattr(instance, "_hparams_name", None)
        if name:
            checkpoint[NAME_KEY] = name
        if _is_omegaconf(found):
            from omegaconf import OmegaConf  # type: ignore[import-not-found, unused-ignore]

            checkpoint[OMEGACONF_KEY], found = True, OmegaConf.to_container(found)
        checkpoint[key] = dict(found)


def _is_omegaconf(found: Any) -> bool:
    return type(found).__module__.partition(".")[0] == "omegaconf"


def instantiate(
    cls: type[Any],
    found: Mapping[str, Any],
    name: str | None,
    given: Mapping[str, Any],
    omegaconf: bool = False,
) -> Any:
    """Make an instance from kept hyperparameters, `given` taking precedence, leaving out what `__init__` does not take."""
    parameters = inspect.signature(cls.__init__).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    values = dict(found)
    made: Any = AttributeDict
    if omegaconf:
        from omegaconf import OmegaConf

        made = OmegaConf.create
    if name and name != "kwargs" and name in parameters:
        arguments = {
            name: made({**values, **given.get(name, {})}),
            **{k: v for k, v in given.items() if k != name},
        }
    else:
        arguments = {**values, **given}
    if not takes_any:
        arguments = {key: value for key, value in arguments.items() if key in parameters}
    return cls(**arguments)


class LoadsFromCheckpoint(HyperparametersMixin):
    """`load_from_checkpoint` for modules and data modules."""

    CHECKPOINT_HYPER_PARAMS_KEY = HPARAMS_KEY
    CHECKPOINT_HYPER_PARAMS_NAME = NAME_KEY
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """A new instance from a checkpoint: `__init__` gets the kept hyperparameters, then the weights are loaded.

        Args:
            map_location: as in `torch.load`.
            hparams_file: hyperparameters for a checkpoint that holds none.
            strict: whether the checkpoint must have exactly this module's weights (default True).
            weights_only: as in `torch.load`; by default True, as it is safe with files of others.
            kwargs: arguments of `__init__` that replace the kept ones.

        Raises:
            CheckpointError: the file cannot be read, or its weights are not those of this class.
            TypeError: `__init__` does not take the kept hyperparameters, or needs more.
            ValueError: `strict` is not what the class's `strict_loading` says, or the file names a function of its own to make
                the instance, which is never called.
        """
        from litify.plugins.checkpoint_io import load  # here, as that module needs AttributeDict

        checkpoint = load(checkpoint_path, map_location, weights_only)
        keys = (cls.CHECKPOINT_HYPER_PARAMS_KEY, *PAST_KEYS)
        found: dict[str, Any] = next((checkpoint[key] for key in keys if key in checkpoint), {})
        if hparams_file is not None:
            from litify.hparams_files import load_hparams_file

            found = {**found, **load_hparams_file(hparams_file)}
        maker = str(found.get(INSTANTIATOR_KEY, ""))
        if maker and maker.rpartition(".")[2] != "instantiate_module":  # that is what LightningCLI puts there
            raise ValueError(
                f"{checkpoint_path}: asks to have {maker} called to make {cls.__name__}; what a file names is not called. Remove "
                f"{INSTANTIATOR_KEY!r} from its hyperparameters if you trust the rest."
            )
        try:
            instance = instantiate(cls, found, checkpoint.get(NAME_KEY), kwargs, OMEGACONF_KEY in checkpoint)
        except TypeError as error:
            raise TypeError(
                f"{checkpoint_path}: {cls.__name__} cannot be made from its hyperparameters ({error}); pass the missing "
                "arguments to load_from_checkpoint."
            ) from error
        instance._load_weights(checkpoint, strict, checkpoint_path)
        made: Self = instance
        return made

    def _load_weights(self, checkpoint: dict[str, Any], strict: bool | None, path: Any) -> None:
        """Modules take their weights here; data modules their state."""


def flatten(found: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested hyperparameters as "a/b" keys, values as loggers take them."""
    for key, value in found.items():
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value if isinstance(value, (bool, int, float, str)) else str(value)
