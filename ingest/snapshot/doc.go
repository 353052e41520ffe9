// Package snapshot owns the files that hold a task's committed state at an
// offset of its change-log, so that a restore reads one file and the log's tail
// instead of the whole log.
//
// Files are only ever added and removed, never written twice, so that a
// directory may be shared by processes (NFS included):
//
//	<dir>/<change-log topic>-<topic ID>/<partition>/<offset>-<random>.snapshot
//
// The topic ID keeps the files of a topic that was deleted and made anew out of
// its namesake's way; such a directory is left for the operator to delete.
//
// A file is a magic number with the format's version, then frames: a header, the
// entries in compressed blocks, and an end. Each frame carries the CRC-32C of
// everything up to it, so that a cut, swapped, missing or altered part is found
// before anything of the file is used.
package snapshot
