package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// GroupProtocol is who distributes partitions over the members of a consumer group.
type GroupProtocol string

const (
	// GroupClassic lets a member do it. Every broker knows it, the session timeout is the client's, and a static member that crashed gets
	// its place back at once.
	GroupClassic GroupProtocol = "classic"
	// GroupConsumer lets the brokers do it (KIP-848): members that keep their partitions do not notice when others come and
	// go. It needs Apache Kafka 4.0, better 4.3; with older brokers the group is classic. The session timeout is
	// the brokers' group.consumer.session.timeout.ms. There are no static members: the client's farewell does not
	// carry their name, so that the brokers give their partitions away at once.
	GroupConsumer GroupProtocol = "consumer"
)

// membership is how a loop belongs to its consumer group.
type membership struct {
	group string
	// static is the name under which the group knows this member again; empty for a member that is new at every start.
	static  string
	session time.Duration
}

func (s *Stage) membership() membership {
	m := membership{group: s.conf.GroupID(s.cfg.Group), session: s.cfg.SessionTimeout}
	if s.cfg.Static {
		m.static = s.cfg.Instance
	}
	return m
}

func (f *Feed) membership() membership {
	return membership{group: f.conf.GroupID(f.cfg.Group), static: f.cfg.Instance, session: f.cfg.SessionTimeout}
}

// options are the client options that say so.
func (m membership) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(m.group),
		kgo.SessionTimeout(m.session),
		kgo.HeartbeatInterval(max(m.session/15, 100*time.Millisecond)),
		kgo.RebalanceTimeout(m.session),
	}
	if m.static != "" {
		opts = append(opts, kgo.InstanceID(m.static))
	}
	return opts
}

// instanceID is static as requests carry it.
func (m membership) instanceID() *string {
	if m.static == "" {
		return nil
	}
	return &m.static
}

// ended judges a failure that came instead of records: an error when the member will never be part of its group again, nil when the
// client goes on trying by itself.
func (m membership) ended(err error) error {
	var session *kgo.ErrGroupSession
	if !errors.As(err, &session) {
		return nil
	}
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		return permanently("kafka: group %s: another process has become instance %q: give every process its own name: %w", m.group, m.static, err)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return permanently("kafka: group %s: the brokers refuse a session timeout of %v: choose one between their "+
			"group.min.session.timeout.ms and group.max.session.timeout.ms: %w", m.group, m.session, err)
	}
	return nil
}

// leaveTimeout is how long leaving a group may take: a join that is under way
// is answered only when all other members have joined.
const leaveTimeout = 5 * time.Second

// leave takes the client out of its group so that the others need not wait for the session timeout; a static
// member only stops, and its place is kept that long. When the broker does not answer, die ends the client's
// requests, without which closing it would wait for them.
func leave(ctx context.Context, cl *kgo.Client, die context.CancelFunc, log *slog.Logger) {
	leaving, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := cl.LeaveGroupContext(leaving); err != nil {
		log.Warn("the group was not left; it will notice at the session timeout", "error", err)
		die()
	}
}

// CheckInstance says what is wrong with the name of a static member: brokers take the characters of topic names.
func CheckInstance(name string) error {
	switch {
	case name == "", name == ".", name == "..", len(name) > 249,
		strings.Trim(name, topicCharacters) != "":
		return fmt.Errorf("%q is not 1 to 249 letters, digits, dots, dashes or underscores", name)
	}
	return nil
}
