package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// When the process that hosts the broker dies, transactions may be open. The
// broker takes them for aborted when it reads its log again, but writes no
// abort marker. A read-committed client is told that the producer's records
// are aborted from the open transaction on, waits for the marker that ends
// this, and drops everything the same producer commits later. So before
// anybody else may connect, the markers are written that the dead broker
// could not write.

// openTransaction is one that a partition's log does not end.
type openTransaction struct {
	topic     string
	partition int32
	producer  int64
	epoch     int16
}

// findOpenTransactions reads the batch headers of every partition's log.
func findOpenTransactions(data string) ([]openTransaction, error) {
	dirs, err := os.ReadDir(filepath.Join(data, "partitions"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var found []openTransaction
	for _, dir := range dirs {
		cut := strings.LastIndexByte(dir.Name(), '-')
		if cut < 0 {
			continue
		}
		topic, err := url.PathUnescape(dir.Name()[:cut])
		if err != nil {
			continue
		}
		partition, err := strconv.ParseInt(dir.Name()[cut+1:], 10, 32)
		if err != nil {
			continue
		}
		open, err := scanPartition(filepath.Join(data, "partitions", dir.Name()))
		if err != nil {
			return nil, err
		}
		for producer, epoch := range open {
			found = append(found, openTransaction{topic, int32(partition), producer, epoch})
		}
	}
	return found, nil
}

// scanPartition returns the producers, with their epochs, whose last
// transactional batch is not followed by a control batch.
func scanPartition(dir string) (map[int64]int16, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".dat"); ok {
			if base, err := strconv.ParseInt(name, 10, 64); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	open := map[int64]int16{}
	for _, base := range bases {
		if err := scanSegment(filepath.Join(dir, strconv.FormatInt(base, 10)+".dat"), open); err != nil {
			return nil, err
		}
	}
	return open, nil
}

// Kafka's record batch, version 2: the fields needed here.
const (
	batchHeader         = 61
	batchLengthAt       = 8 // int32, counted from after itself
	batchAttributesAt   = 21
	batchProducerAt     = 43
	batchEpochAt        = 51
	batchTransactional  = 0x10
	batchControl        = 0x20
	batchLengthFieldEnd = 12
)

// scanSegment follows one segment of record batches; a batch cut short by the
// crash ends it, as it does for the broker.
func scanSegment(path string, open map[int64]int16) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	var header [batchHeader]byte
	for at := int64(0); at+batchHeader <= stat.Size(); {
		if _, err := file.ReadAt(header[:], at); err != nil && err != io.EOF {
			return err
		}
		length := int64(int32(binary.BigEndian.Uint32(header[batchLengthAt:])))
		if length < batchHeader-batchLengthFieldEnd || at+batchLengthFieldEnd+length > stat.Size() {
			return nil
		}
		producer := int64(binary.BigEndian.Uint64(header[batchProducerAt:]))
		switch attributes := binary.BigEndian.Uint16(header[batchAttributesAt:]); {
		case attributes&batchControl != 0:
			delete(open, producer)
		case attributes&batchTransactional != 0:
			open[producer] = int16(binary.BigEndian.Uint16(header[batchEpochAt:]))
		}
		at += batchLengthFieldEnd + length
	}
	return nil
}

// abortTransactions writes an abort marker for each.
func abortTransactions(addr string, gate *gate, transactions []openTransaction) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.Dialer(gate.dial))
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, open := range transactions {
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic, topic.Partitions = open.topic, []int32{open.partition}
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch, marker.Committed = open.producer, open.epoch, false
		marker.Topics = append(marker.Topics, topic)
		request.Markers = append(request.Markers, marker)
	}
	reply, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("end the transactions a crash left open: %w", err)
	}
	for _, marker := range reply.Markers {
		for _, topic := range marker.Topics {
			for _, partition := range topic.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					return fmt.Errorf("end a transaction a crash left open in %s-%d: %w", topic.Topic, partition.Partition, err)
				}
			}
		}
	}
	return nil
}

// gate is a listener that accepts only dial's connections until it is opened.
type gate struct {
	net.Listener
	inner  chan net.Conn
	opened chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newGate(listener net.Listener) *gate {
	return &gate{Listener: listener, inner: make(chan net.Conn), opened: make(chan struct{}), closed: make(chan struct{})}
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case conn := <-g.inner:
		return conn, nil
	case <-g.opened:
		return g.Listener.Accept()
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// dial connects to the broker past the closed gate; for kgo.Dialer.
func (g *gate) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case g.inner <- far:
		return near, nil
	case <-g.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
