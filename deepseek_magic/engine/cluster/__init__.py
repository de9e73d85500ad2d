"""The requests of a sweep on a Dask cluster: the only importer of ``distributed``."""
