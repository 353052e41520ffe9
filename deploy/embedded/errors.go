package embedded

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// ClickHouse's error codes raised by the HTTP layer itself; everything else
// comes out of the engine with its code in the text.
const (
	codeCannotReadAllData    = 33
	codeBadArguments         = 36
	codeNotImplemented       = 48
	codeSyntaxError          = 62
	codeUnknownSetting       = 115
	codeReadonly             = 164
	codeRequiredPassword     = 194
	codeQueryTooLarge        = 229
	codeOutfileNotAllowed    = 358
	codeSessionNotFound      = 372
	codeSessionLocked        = 373
	codeUnknownRole          = 511
	codeAuthenticationFailed = 516
	codeUnknownException     = 1002
)

// exception is a ClickHouse error: its number and its full text, which begins
// with "Code: N. DB::Exception: ".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

// raise makes an exception of the HTTP layer in ClickHouse's wording.
func raise(code int, name, format string, args ...any) error {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s (%s)", code, fmt.Sprintf(format, args...), name)}
}

// exceptionOf gives err its code and the version suffix clients expect.
func exceptionOf(err error, version string) *exception {
	var known *exception
	e := &exception{code: codeUnknownException}
	var engine *engineError
	switch {
	case errors.As(err, &known):
		*e = *known
	case errors.As(err, &engine):
		e.text = strings.TrimSpace(engine.text)
		if rest, ok := strings.CutPrefix(e.text, "Code: "); ok {
			if digits, _, ok := strings.Cut(rest, "."); ok {
				if code, err := strconv.Atoi(digits); err == nil {
					e.code = code
				}
			}
		}
	default:
		e.text = fmt.Sprintf("Code: %d. DB::Exception: %v (UNKNOWN_EXCEPTION)", e.code, err)
	}
	if !strings.Contains(e.text, "(version ") {
		e.text += " (version " + version + ")"
	}
	return e
}

// httpStatus is ClickHouse's own mapping of error codes to HTTP statuses; the
// codes not listed are 500.
var httpStatus = map[int]int{
	codeRequiredPassword: http.StatusUnauthorized,

	192:                      http.StatusForbidden, // UNKNOWN_USER
	193:                      http.StatusForbidden, // WRONG_PASSWORD
	497:                      http.StatusForbidden, // ACCESS_DENIED
	512:                      http.StatusForbidden, // SET_NON_GRANTED_ROLE
	codeAuthenticationFailed: http.StatusForbidden,

	codeBadArguments: http.StatusBadRequest,
	codeSyntaxError:  http.StatusBadRequest,
	6:                http.StatusBadRequest, // CANNOT_PARSE_TEXT
	8:                http.StatusBadRequest, // THERE_IS_NO_COLUMN
	15:               http.StatusBadRequest, // DUPLICATE_COLUMN
	25:               http.StatusBadRequest, // CANNOT_PARSE_ESCAPE_SEQUENCE
	26:               http.StatusBadRequest, // CANNOT_PARSE_QUOTED_STRING
	27:               http.StatusBadRequest, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	37:               http.StatusBadRequest, // UNKNOWN_ELEMENT_IN_AST
	38:               http.StatusBadRequest, // CANNOT_PARSE_DATE
	41:               http.StatusBadRequest, // CANNOT_PARSE_DATETIME
	44:               http.StatusBadRequest, // ILLEGAL_COLUMN
	53:               http.StatusBadRequest, // TYPE_MISMATCH
	72:               http.StatusBadRequest, // CANNOT_PARSE_NUMBER
	117:              http.StatusBadRequest, // INCORRECT_DATA
	123:              http.StatusBadRequest, // UNKNOWN_TYPE_OF_AST_NODE
	167:              http.StatusBadRequest, // TOO_DEEP_AST
	168:              http.StatusBadRequest, // TOO_BIG_AST
	223:              http.StatusBadRequest, // UNEXPECTED_AST_STRUCTURE
	321:              http.StatusBadRequest, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	376:              http.StatusBadRequest, // CANNOT_PARSE_UUID
	427:              http.StatusBadRequest, // CANNOT_COMPILE_REGEXP
	441:              http.StatusBadRequest, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
	675:              http.StatusBadRequest, // CANNOT_PARSE_IPV4
	676:              http.StatusBadRequest, // CANNOT_PARSE_IPV6

	codeUnknownSetting: http.StatusNotFound,
	codeUnknownRole:    http.StatusNotFound,
	46:                 http.StatusNotFound, // UNKNOWN_FUNCTION
	47:                 http.StatusNotFound, // UNKNOWN_IDENTIFIER
	50:                 http.StatusNotFound, // UNKNOWN_TYPE
	56:                 http.StatusNotFound, // UNKNOWN_STORAGE
	60:                 http.StatusNotFound, // UNKNOWN_TABLE
	63:                 http.StatusNotFound, // UNKNOWN_AGGREGATE_FUNCTION
	73:                 http.StatusNotFound, // UNKNOWN_FORMAT
	78:                 http.StatusNotFound, // UNKNOWN_TYPE_OF_QUERY
	81:                 http.StatusNotFound, // UNKNOWN_DATABASE
	152:                http.StatusNotFound, // UNKNOWN_DIRECTION_OF_SORTING
	336:                http.StatusNotFound, // UNKNOWN_DATABASE_ENGINE

	codeQueryTooLarge:  http.StatusRequestEntityTooLarge,
	codeNotImplemented: http.StatusNotImplemented,
	76:                 http.StatusServiceUnavailable, // CANNOT_OPEN_FILE
	209:                http.StatusServiceUnavailable, // SOCKET_TIMEOUT
	439:                http.StatusServiceUnavailable, // CANNOT_SCHEDULE_TASK
	159:                http.StatusRequestTimeout,     // TIMEOUT_EXCEEDED
	779:                http.StatusUnsupportedMediaType,
}

// status is the HTTP status the exception is answered with.
func (e *exception) status() int {
	if status, ok := httpStatus[e.code]; ok {
		return status
	}
	return http.StatusInternalServerError
}
