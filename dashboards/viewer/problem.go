package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Class is what a problem means. The list is closed; its values are metric labels.
type Class string

const (
	// BadRequest: the request makes no sense.
	BadRequest Class = "bad_request"
	// Unauthorized: no valid token, or not through a loopback name.
	Unauthorized Class = "unauthorized"
	// Unknown: there is no such dashboard, panel or variable.
	Unknown Class = "unknown"
	// UnknownDrop: no drop is chosen, or none of that name is known.
	UnknownDrop Class = "unknown_drop"
	// Away: what has the data does not answer at the moment.
	Away Class = "away"
	// Timeout: the query took longer than it may.
	Timeout Class = "timeout"
	// TooMuch: the answer is larger than is sent.
	TooMuch Class = "too_much"
	// Internal: something is broken; the log says more.
	Internal Class = "internal"
)

var statuses = map[Class]int{
	BadRequest: http.StatusBadRequest, Unauthorized: http.StatusUnauthorized, Unknown: http.StatusNotFound, UnknownDrop: http.StatusNotFound,
	Away: http.StatusServiceUnavailable, Timeout: http.StatusGatewayTimeout, TooMuch: http.StatusRequestEntityTooLarge,
	Internal: http.StatusInternalServerError,
}

// Problem says why there is no answer, and what to do, to whoever looks at the page.
type Problem struct {
	Class   Class  `json:"class"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

func (p *Problem) Error() string { return p.Message }

func problem(class Class, format string, args ...any) *Problem {
	return &Problem{Class: class, Message: fmt.Sprintf(format, args...)}
}

// fixedBy adds what to do.
func (p *Problem) fixedBy(fix string) *Problem {
	p.Fix = fix
	return p
}

// asProblem says what err is to a viewer. What nobody foresaw keeps its first line: those who look may also see the queries.
func asProblem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return problem(Timeout, "The query took longer than it may.").fixedBy("Choose a shorter range or fewer values.")
	case errors.Is(err, context.Canceled):
		return problem(Away, "The viewer is stopping.")
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	const most = 300
	if runes := []rune(strings.ToValidUTF8(line, "�")); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return problem(Internal, "The query failed: %s", line).fixedBy("The log of droplift says more.")
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	text, err := json.Marshal(map[string]*Problem{"error": p})
	if err != nil { // strings only
		panic(err)
	}
	w.Header().Set("Content-Type", jsonType)
	w.Header().Del("Content-Disposition")
	if p.Class == Away {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(statuses[p.Class])
	_, _ = w.Write(text) // whoever left needs no answer
}
