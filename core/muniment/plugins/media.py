"""Find the media types that plugins register, for outputs that are not plain text."""

from __future__ import annotations

from muniment.errors import AmbiguousNameError
from muniment.hookspecs import MediaType
from muniment.plugins.registry import Plugins, RegisteredObject, instantiate
from muniment.types import PluginRef


class MediaTypes:
    """The media types of the installed plugins. Each object is created once."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._objects: dict[str, MediaType] = {}

    def registered(self, media_type: str) -> RegisteredObject | None:
        """Return the object that handles a media type, or None. No plugin is loaded for text.

        Raises AmbiguousNameError if two plugins register the type.
        """
        kind = media_type.partition(";")[0].strip()
        if kind.startswith("text/"):
            return None
        matches = [
            registered
            for registered in self._plugins.objects("media_type")
            if kind in registered.media_types
        ]
        if len(matches) > 1:
            raise AmbiguousNameError(
                "media type",
                kind,
                [registered.plugin.distribution for registered in matches],
                "uninstall one",
            )
        return matches[0] if matches else None

    def plugin(self, media_type: str) -> PluginRef | None:
        """Return the distribution that handles a media type, or None."""
        registered = self.registered(media_type)
        return None if registered is None else self._plugins.ref(registered.plugin)

    def get(self, media_type: str) -> MediaType | None:
        """Return the object that handles a media type, or None.

        Raises AmbiguousNameError, or PluginError if it cannot be loaded.
        """
        registered = self.registered(media_type)
        if registered is None:
            return None
        if registered.name not in self._objects:
            self._objects[registered.name] = instantiate(registered)
        return self._objects[registered.name]
