package sql

import (
	"fmt"
	"strings"
)

// Split cuts a script into its statements. Semicolons inside string literals,
// quoted identifiers and comments do not count. Comments before a statement are
// dropped, comments inside one are kept; statements come without semicolon and
// surrounding space. An unfinished literal or comment is an error.
func Split(script string) ([]string, error) {
	var statements []string
	// start is where the current statement's first significant byte stands, −1 before it.
	start := -1
	for i := 0; i < len(script); {
		switch c := script[i]; {
		case strings.HasPrefix(script[i:], "--"):
			end := strings.IndexByte(script[i:], '\n')
			if end < 0 {
				end = len(script) - i
			}
			i += end
		case strings.HasPrefix(script[i:], "/*"):
			end := strings.Index(script[i+2:], "*/")
			if end < 0 {
				return nil, fmt.Errorf("line %d: comment does not end", line(script, i))
			}
			i += 2 + end + 2
		case c == '\'' || c == '"' || c == '`':
			if start < 0 {
				start = i
			}
			end := quotedLength(script[i:])
			if end < 0 {
				return nil, fmt.Errorf("line %d: %c does not end", line(script, i), c)
			}
			i += end
		case c == ';':
			if start >= 0 {
				statements = append(statements, strings.TrimSpace(script[start:i]))
			}
			start = -1
			i++
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		default:
			if start < 0 {
				start = i
			}
			i++
		}
	}
	if start >= 0 {
		statements = append(statements, strings.TrimSpace(script[start:]))
	}
	return statements, nil
}

// quotedLength is the length of the literal or identifier that s starts with,
// quotes included, or −1 if it does not end. A doubled quote is two literals to
// the caller, which comes to the same.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}

func line(script string, at int) int { return strings.Count(script[:at], "\n") + 1 }
