package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// Cause is why a file is not used. It is a metric label.
type Cause string

const (
	// Corrupt: cut short, or altered. Nobody can use it.
	Corrupt Cause = "corrupt"
	// Unreadable: the file system gives an error.
	Unreadable Cause = "unreadable"
	// UnknownFormat: another version of the program wrote it.
	UnknownFormat Cause = "format"
	// Foreign: of another topic or partition.
	Foreign Cause = "foreign"
	// BeyondEnd: the change-log has lost what the state holds. When it grows again, with other records, nothing will tell
	// that the state is not of this log: the file must go.
	BeyondEnd Cause = "beyond_end"
	// BehindStart: the change-log has lost what follows on the state.
	BehindStart Cause = "behind_start"
	// TooOld: deletions that follow on the state may be gone from the change-log.
	TooOld Cause = "too_old"
)

// Causes are all of them.
func Causes() []Cause {
	return []Cause{Corrupt, Unreadable, UnknownFormat, Foreign, BeyondEnd, BehindStart, TooOld}
}

// Hopeless says that no other process or later moment can use the file.
func (c Cause) Hopeless() bool { return c == Corrupt || c == BeyondEnd }

// RefusedError is a file that is not used, as if it were not there.
type RefusedError struct {
	Cause Cause
	Err   error
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

func refuse(cause Cause, err error) error { return &RefusedError{cause, err} }

// refused tells what the file system says from what the file says.
func refused(err error) error {
	var r *RefusedError
	var path *fs.PathError
	var number syscall.Errno
	switch {
	case errors.As(err, &r):
		return err
	case errors.As(err, &path), errors.As(err, &number):
		return refuse(Unreadable, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(Corrupt, errors.New("it is cut short"))
	}
	return refuse(Corrupt, err)
}
