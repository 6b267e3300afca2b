"""The archive that the configuration names. What S3 needs besides is imported where it is asked for."""

from longstop.archives.file import FileArchive
from longstop.model.errors import ConfigurationError
from longstop.model.s3_place import S3Place
from longstop.ports import Archive


def make_archive(place: str | S3Place | None) -> Archive | None:
    """Where what is forgotten is kept, if anywhere. Raises ConfigurationError where the extra for it is missing."""
    if not isinstance(place, S3Place):
        return None if place is None else FileArchive(place)
    try:
        from longstop.archives.s3 import S3Archive
    except ImportError:
        problem = (
            "retention.archive: found s3://…, without aiobotocore; expected the extra; pip install 'longstop[aws]'"
        )
        raise ConfigurationError((problem,)) from None
    return S3Archive(place)
