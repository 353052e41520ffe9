package processors

import (
	"errors"
	"fmt"
)

// VersionError is state that this program cannot read.
type VersionError struct {
	// Version of the state, and the newest one that this program reads.
	Version, Newest byte
}

func (e *VersionError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("state in version 0, which no droplift wrote; this one reads versions up to %d", e.Newest)
	}
	return fmt.Sprintf("state in version %d: a newer droplift wrote it, this one reads versions up to %d; "+
		"start the newer one again, or rebuild the state from the raw topics in a new consumer group", e.Version, e.Newest)
}

// Version takes the version off an encoded state, its first byte, and refuses
// with a *VersionError what no program up to this one can have written. A Codec whose layout changes
// counts newest up and goes on reading all versions from 1: a key's state stays in the version that wrote it, in memory,
// in the change-log and in snapshots, until a transaction changes it.
func Version(data []byte, newest byte) (version byte, rest []byte, err error) {
	if len(data) == 0 {
		return 0, nil, errors.New("state of no bytes")
	}
	if version = data[0]; version == 0 || version > newest {
		return 0, nil, &VersionError{Version: version, Newest: newest}
	}
	return version, data[1:], nil
}
