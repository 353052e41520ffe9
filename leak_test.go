package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// TestFaultsLeaveNothingBehind lets one process live through faults that do not kill it: goroutines and live memory must
// be what they were.
func TestFaultsLeaveNothingBehind(t *testing.T) {
	seed := pipelineSeed(t)
	r := newRig(t, 1)
	w := world{"long-", "long"}
	r.prepare(w)
	traffic := r.traffic(w, simulate.Tiny(seed))
	r.start(w)
	traffic.send(t, 12_000)
	r.drain(w)
	before := r.measure()

	rng := rand.New(rand.NewPCG(seed, 7))
	var all []fault
	for _, f := range faults(r) {
		if f.at == nil && f.name != "process killed" {
			all = append(all, f)
		}
	}
	steps := []kafka.Step{kafka.StageGathered, kafka.StageProduced, kafka.StageEnded, kafka.FeedFilled, kafka.FeedPlanned, kafka.FeedWritten}
	const times = 4
	for i := range times * len(all) {
		p := crashPoint{step: steps[rng.IntN(len(steps))], fault: all[i%len(all)]}
		held := r.steps.hold(p.step, 0)
		traffic.send(t, 200)
		r.await(held, func() { traffic.send(t, 4) }, i, p)
		p.fault.hurt(r, w, rng)
	}
	r.drain(w)
	r.alive()
	after := r.measure()
	t.Logf("seed %d, %d faults: %d goroutines before, %d after; %d KiB live before, %d KiB after",
		seed, times*len(all), before.goroutines, after.goroutines, before.live>>10, after.live>>10)
	// Connections come and go with their goroutines; what leaks does so with every fault.
	if after.goroutines > before.goroutines+times*len(all)/2 {
		t.Errorf("goroutines leak: %d before the faults, %d after", before.goroutines, after.goroutines)
	}
	const slack = 24 << 20 // state of the traffic meanwhile, and buffers
	if after.live > before.live+slack {
		t.Errorf("memory leaks: %d bytes live before the faults, %d after", before.live, after.live)
	}
}

// footprint is what a process holds.
type footprint struct {
	goroutines int
	live       int64 // bytes of heap after a collection
}

var (
	totalGoroutines = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapAlloc       = regexp.MustCompile(`# HeapAlloc = (\d+)`)
)

// measure asks the process under test for its profiles.
func (r *rig) measure() (f footprint) {
	r.t.Helper()
	ask := func(path string, number *regexp.Regexp) (n int64) {
		eventually(r.t, rigPatience, func() error {
			response, err := http.Get("http://" + r.pprof + path)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			found := number.FindSubmatch(text)
			if found == nil {
				return fmt.Errorf("%s does not say %s", path, number)
			}
			n, err = strconv.ParseInt(string(found[1]), 10, 64)
			return err
		})
		return n
	}
	f.goroutines = int(ask("/debug/pprof/goroutine?debug=1", totalGoroutines))
	f.live = ask("/debug/pprof/heap?gc=1&debug=1", heapAlloc)
	return f
}
