package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

func TestClassify(t *testing.T) {
	code := func(code int32) error {
		return fmt.Errorf("insert: %w", &ch.HTTPError{StatusCode: 500, Err: &ch.Exception{Code: code}})
	}
	status := func(status int) error { return &ch.HTTPError{StatusCode: status, Err: errors.New("proxy")} }
	for _, tt := range []struct {
		name string
		err  error
		want Class
	}{
		{"cancelled", fmt.Errorf("send: %w", context.Canceled), Cancelled},
		{"the request's own deadline", context.DeadlineExceeded, Retryable},
		{"refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Retryable},
		{"broken off", io.ErrUnexpectedEOF, Retryable},
		{"no connection free", ch.ErrAcquireConnTimeout, Retryable},
		{"too many parts", code(252), Retryable},
		{"memory limit", code(241), Retryable},
		{"killed query", code(394), Retryable},
		{"a code of the future", code(99999), Unknown},
		{"bad gateway", status(502), Retryable},
		{"too many requests", status(429), Retryable},
		{"no table", code(60), Permanent},
		{"no privilege", code(497), Permanent},
		{"wrong password", code(516), Permanent},
		{"a proxy's refusal", status(403), Permanent},
		{"partial", &PartialBatchError{}, Permanent},
		{"type mismatch", code(53), Poison},
		{"unsendable column", fmt.Errorf("x: %w", ch.ErrBatchInvalid), Poison},
	} {
		if got := Classify(t.Context(), tt.err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Classify(done, code(60)); got != Cancelled {
		t.Errorf("with the caller gone: %s, want %s", got, Cancelled)
	}
}
