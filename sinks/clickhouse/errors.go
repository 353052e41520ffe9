package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Class is what an error means for whoever has to go on. The list is closed;
// its values are metric labels.
type Class string

const (
	// Retryable: the same request may succeed later.
	Retryable Class = "retryable"
	// Unknown: nobody here knows the server's code. It is tried again, because a repeated insert is harmless and a lost
	// one is not; Sink.Ready says so when it goes on for long.
	Unknown Class = "unknown"
	// Permanent: the server will keep refusing until somebody changes it or the configuration.
	Permanent Class = "permanent"
	// Cancelled: the caller gave up. It says nothing about the data.
	Cancelled Class = "cancelled"
	// Poison: the data itself is refused.
	Poison Class = "poison"
)

// retried says whether the same request is made again.
func (c Class) retried() bool { return c == Retryable || c == Unknown }

// advice says what an operator can do about a permanent error, by ClickHouse's code.
var advice = map[int32]string{
	16:  "the table lacks a column: run droplift migrate",
	36:  "the server refuses the request as it stands: check its version (26.x is tested)",
	43:  "the server does not understand the statement: check its version (26.x is tested)",
	46:  "the server lacks a function: check its version (26.x is tested)",
	47:  "the table lacks a column: run droplift migrate",
	48:  "the server cannot do this: check its version (26.x is tested)",
	60:  "the table does not exist: run droplift migrate",
	62:  "the server does not understand the statement: check its version (26.x is tested)",
	81:  "the database does not exist: run droplift migrate",
	115: "the server does not know a setting: check its version (26.x is tested)",
	164: "the user is read-only: use one that may write",
	192: "the user does not exist: check the user name",
	193: "the password is wrong",
	194: "a password is required",
	195: "the user may not connect from this address",
	452: "the user's profile forbids a setting: allow it",
	497: "the user lacks a privilege: grant it",
	516: "authentication failed: check user and password",
}

// passing are codes of a server that is short of something, or busy, or between two states.
var passing = map[int32]bool{
	3:   true, // UNEXPECTED_END_OF_FILE
	24:  true, // CANNOT_WRITE_TO_OSTREAM
	74:  true, // CANNOT_READ_FROM_FILE_DESCRIPTOR
	75:  true, // CANNOT_WRITE_TO_FILE_DESCRIPTOR
	159: true, // TIMEOUT_EXCEEDED
	173: true, // CANNOT_ALLOCATE_MEMORY
	198: true, // DNS_ERROR
	202: true, // TOO_MANY_SIMULTANEOUS_QUERIES
	203: true, // NO_FREE_CONNECTION
	209: true, // SOCKET_TIMEOUT
	210: true, // NETWORK_ERROR
	225: true, // NO_ZOOKEEPER
	236: true, // ABORTED
	241: true, // MEMORY_LIMIT_EXCEEDED
	242: true, // TABLE_IS_READ_ONLY
	243: true, // NOT_ENOUGH_SPACE
	252: true, // TOO_MANY_PARTS
	279: true, // ALL_CONNECTION_TRIES_FAILED
	285: true, // TOO_FEW_LIVE_REPLICAS
	286: true, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
	290: true, // LIMIT_EXCEEDED
	319: true, // UNKNOWN_STATUS_OF_INSERT
	373: true, // SESSION_IS_LOCKED
	394: true, // QUERY_WAS_CANCELLED
	425: true, // SYSTEM_ERROR
	439: true, // CANNOT_SCHEDULE_TASK
	473: true, // DEADLOCK_AVOIDED
	499: true, // S3_ERROR
	999: true, // KEEPER_EXCEPTION
}

var poisonCodes = map[int32]bool{
	6:   true, // CANNOT_PARSE_TEXT
	27:  true, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:  true, // CANNOT_PARSE_DATE
	41:  true, // CANNOT_PARSE_DATETIME
	53:  true, // TYPE_MISMATCH
	69:  true, // ARGUMENT_OUT_OF_BOUND
	70:  true, // CANNOT_CONVERT_TYPE
	117: true, // INCORRECT_DATA
	321: true, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: true, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	407: true, // DECIMAL_OVERFLOW
	469: true, // VIOLATED_CONSTRAINT
}

// Classify says what err means. It is Cancelled whenever ctx is done, whatever
// err says: a request cut short proves nothing else.
func Classify(ctx context.Context, err error) Class {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return Cancelled
	}
	var partial *PartialBatchError
	var drift *SchemaError
	var changed *ChecksumError
	if errors.As(err, &partial) || errors.As(err, &drift) || errors.As(err, &changed) {
		return Permanent
	}
	if errors.Is(err, ch.ErrBatchInvalid) {
		return Poison
	}
	var exception *ch.Exception
	if errors.As(err, &exception) {
		switch {
		case advice[exception.Code] != "":
			return Permanent
		case poisonCodes[exception.Code]:
			return Poison
		case passing[exception.Code]:
			return Retryable
		default:
			return Unknown
		}
	}
	var status *ch.HTTPError
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			return Permanent
		}
	}
	return Retryable
}

// Code is ClickHouse's code of err, 0 where the server has not answered.
func Code(err error) int32 {
	var exception *ch.Exception
	if errors.As(err, &exception) {
		return exception.Code
	}
	return 0
}

// explain adds to a permanent error what can be done about it.
func explain(err error) error {
	var exception *ch.Exception
	if errors.As(err, &exception) {
		if what := advice[exception.Code]; what != "" {
			return fmt.Errorf("%s: %w", what, err)
		}
		if poisonCodes[exception.Code] {
			return fmt.Errorf("the server refuses the data: %w", err)
		}
	}
	return err
}

// PartialBatchError says that a table holds neither none nor all of a batch's
// rows, which one block in one table partition cannot come to by itself:
// somebody deleted or inserted rows, or a version that decodes differently wrote the range before.
type PartialBatchError struct {
	Table       string
	Partition   int32
	First, Last int64
	// Stored rows are in the table, Due rows are in the batch.
	Stored, Due uint64
}

func (e *PartialBatchError) Error() string {
	return fmt.Sprintf("%s holds %d rows of Kafka partition %d, offsets %d to %d, where %d are due: find out who changed them; "+
		"to load the range again, run ALTER TABLE %s DELETE WHERE kafka_partition = %d AND kafka_offset BETWEEN %d AND %d, wait for the mutation and restart",
		e.Table, e.Stored, e.Partition, e.First, e.Last, e.Due, e.Table, e.Partition, e.First, e.Last)
}
