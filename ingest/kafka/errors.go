package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// class is the closed list of what an error means for a loop. It is a metric label.
type class string

const (
	// retryable: the same again may work.
	retryable class = "retryable"
	// permanent: the same again fails the same way; someone must change something.
	permanent class = "permanent"
	// cancelled: we were told to stop. Never a verdict on a record.
	cancelled class = "cancelled"
	// fenced: another producer took over this transactional ID, or this one's epoch ended.
	fenced class = "fenced"
	// rebalanced: partitions moved; their new owner does the work again.
	rebalanced class = "rebalance"
	// unknown: the request may or may not have taken effect.
	unknown class = "unknown"
)

// errUnknownOutcome is a commit that may have happened.
var errUnknownOutcome = errors.New("kafka: the outcome of the transaction is unknown")

// permanentError marks what no retry cures.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func permanently(format string, args ...any) error {
	return &permanentError{fmt.Errorf(format, args...)}
}

// classify judges an error. What it does not know is retryable: of the two
// mistakes, trying again can be undone.
func classify(err error) class {
	var p *permanentError
	switch {
	case errors.As(err, &p),
		errors.Is(err, kerr.MessageTooLarge),
		errors.Is(err, kerr.InvalidRecord),
		errors.Is(err, kerr.UnsupportedVersion),
		errors.Is(err, kerr.UnsupportedForMessageFormat):
		return permanent
	case errors.Is(err, context.Canceled):
		return cancelled
	case errors.Is(err, kerr.ProducerFenced),
		errors.Is(err, kerr.InvalidProducerEpoch),
		errors.Is(err, kerr.InvalidProducerIDMapping),
		errors.Is(err, kerr.FencedInstanceID),
		errors.Is(err, kerr.InvalidTxnState):
		return fenced
	case errors.Is(err, kerr.RebalanceInProgress),
		errors.Is(err, kerr.IllegalGeneration),
		errors.Is(err, kerr.UnknownMemberID),
		errors.Is(err, kerr.StaleMemberEpoch),
		errors.Is(err, kerr.FencedMemberEpoch):
		return rebalanced
	case errors.Is(err, errUnknownOutcome), errors.Is(err, context.DeadlineExceeded):
		return unknown
	}
	return retryable
}

// Away says whether an error tells of brokers that do not answer, or not yet: the same request may work later.
func Away(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) || kerr.IsRetriable(err)
}

// backoff is capped exponential waiting with full jitter in its upper half.
type backoff struct {
	first, limit time.Duration
	attempt      int
}

// next is the wait before the next attempt.
func (b *backoff) next() time.Duration {
	d := b.limit
	if b.attempt < 16 {
		d = min(d, b.first<<b.attempt)
	}
	b.attempt++
	return d/2 + rand.N(d/2+1)
}

func (b *backoff) reset() { b.attempt = 0 }

// graceful returns a context that ends d after ctx does: the time to finish
// what was begun.
func graceful(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-hard.Done():
		}
	})
	return hard, func() { stop(); cancel() }
}
