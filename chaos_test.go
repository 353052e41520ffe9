package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// A fault breaks something while the process is held at a step. It lets the process go on, if that is still
// alive, and returns when what it broke works again.
type fault struct {
	name string
	// weight is how often it is drawn; a fault that takes seconds is drawn seldom.
	weight int
	// at are the steps where it can make a difference; nil for all.
	at   []kafka.Step
	hurt func(r *rig, w world, rng *rand.Rand)
}

// inTransaction are the steps between which a transaction can be left open or in doubt.
var inTransaction = []kafka.Step{kafka.StageBegun, kafka.StageProduced, kafka.StageCommitting, kafka.StageEnded}

// inBatch are the steps between which a batch can be left in doubt.
var inBatch = []kafka.Step{kafka.FeedFilled, kafka.FeedPlanned, kafka.FeedWritten}

// faults are everything that crash points do to a pipeline on one broker. That broker is left alive: Apache Kafka 4.3 forgets
// transactions when the only replica of their partitions is killed (see ingest/kafka/stage_hanging.go).
func faults(r *rig) []fault {
	some := func(rng *rand.Rand) time.Duration { return time.Duration(50+rng.IntN(300)) * time.Millisecond }
	all := []fault{
		{name: "process killed", weight: 24, hurt: func(r *rig, w world, _ *rand.Rand) {
			r.kill()
			r.steps.release()
			r.start(w)
		}},
		{name: "ClickHouse killed", weight: 3, hurt: func(r *rig, _ world, _ *rand.Rand) {
			restarts := r.engine.Restarts()
			if pid := r.engine.PID(); pid != 0 {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			r.steps.release()
			eventually(r.t, rigPatience, func() error {
				if r.engine.Restarts() == restarts || r.engine.PID() == 0 {
					return fmt.Errorf("ClickHouse was not started again")
				}
				return nil
			})
		}},
		{name: "Kafka cut off", weight: 4, hurt: func(r *rig, _ world, rng *rand.Rand) {
			r.cutKafka()
			r.steps.release()
			time.Sleep(some(rng))
			r.mendKafka()
		}},
		{name: "ClickHouse cut off", weight: 4, hurt: func(r *rig, _ world, rng *rand.Rand) {
			r.engineWire.cut()
			r.steps.release()
			time.Sleep(some(rng))
			r.engineWire.mend()
		}},
		{name: "Kafka's answers lost", weight: 4, hurt: func(r *rig, _ world, rng *rand.Rand) {
			r.kafkaWires[0].deafen(1 + rng.IntN(4))
			r.steps.release()
		}},
		{name: "ClickHouse's answers lost", weight: 4, hurt: func(r *rig, _ world, rng *rand.Rand) {
			r.engineWire.deafen(1 + rng.IntN(3))
			r.steps.release()
		}},
		{name: "producer fenced", weight: 4, hurt: func(r *rig, w world, _ *rand.Rand) {
			r.fence(w)
			r.steps.release()
		}},
		{name: "transaction timed out", weight: 1, at: inTransaction, hurt: func(r *rig, _ world, _ *rand.Rand) {
			time.Sleep(rigTransactionTimeout * 3 / 2)
			r.steps.release()
		}},
		{name: "process frozen past its session", weight: 1, at: slices.Concat(inTransaction, inBatch), hurt: func(r *rig, _ world, _ *rand.Rand) {
			r.signal(syscall.SIGSTOP)
			r.steps.release()
			time.Sleep(rigSessionTimeout * 4 / 3)
			r.signal(syscall.SIGCONT)
		}},
	}
	if r.disk != nil {
		all = append(all, fault{name: "disk full", weight: 1, at: inBatch, hurt: func(r *rig, _ world, _ *rand.Rand) {
			if err := r.disk.fill(); err != nil {
				r.t.Fatal(err)
			}
			r.steps.release()
			time.Sleep(500 * time.Millisecond)
			if err := r.disk.empty(); err != nil {
				r.t.Fatal(err)
			}
		}})
	}
	return all
}

// brokerFaults need three brokers.
func brokerFaults() []fault {
	return []fault{{name: "broker killed", weight: 1, at: slices.Concat(inTransaction, inBatch), hurt: func(r *rig, _ world, rng *rand.Rand) {
		id := 1 + rng.IntN(len(r.kafkaWires))
		if err := r.broker.Kill(id); err != nil {
			r.t.Fatal(err)
		}
		r.steps.release()
		ctx, cancel := context.WithTimeout(r.t.Context(), 2*rigPatience)
		defer cancel()
		if err := r.broker.Restart(ctx, id); err != nil {
			r.t.Fatal(err)
		}
	}}}
}

// fence takes the process's transactional ID over, as another process under its name would.
func (r *rig) fence(w world) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addrs()...),
		kgo.TransactionalID(w.prefix+"droplift-process-"+r.instance), kgo.TransactionTimeout(rigTransactionTimeout))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		r.t.Fatalf("fence the process: %v", err)
	}
}

// crashPoint is one fault at one step.
type crashPoint struct {
	step  kafka.Step
	after int // occurrences of step to let pass first
	fault fault
}

// chaosSteps are the steps that the traffic here leads to: ClickHouse refuses none of it, but some derived records do not decode.
var chaosSteps = append(kafka.Steps(), kafka.FeedLettered)

// births are the steps that a process takes at its start: reaching one takes a new process.
var births = []kafka.Step{kafka.StageAdopting, kafka.StageRestored, kafka.FeedAssigned, kafka.FeedBegun}

// crashPoints draws n points: every possible pair of step and fault once, for as long as n lasts, and then by weight.
func crashPoints(rng *rand.Rand, all []fault, n int) []crashPoint {
	possible := func(f fault, s kafka.Step) bool { return f.at == nil || slices.Contains(f.at, s) }
	point := func(s kafka.Step, f fault) crashPoint {
		p := crashPoint{step: s, after: rng.IntN(3), fault: f}
		if s == kafka.StageAdopting || s == kafka.StageRestored || s == kafka.FeedLettered {
			p.after = 0 // once in a life, or a spoiled record
		}
		return p
	}
	var points []crashPoint
	for _, s := range chaosSteps {
		for _, f := range all {
			if possible(f, s) {
				points = append(points, point(s, f))
			}
		}
	}
	weights := 0
	for _, f := range all {
		weights += f.weight
	}
	for len(points) < n {
		pick, f := rng.IntN(weights), fault{}
		for _, f = range all {
			if pick -= f.weight; pick < 0 {
				break
			}
		}
		if s := chaosSteps[rng.IntN(len(chaosSteps))]; possible(f, s) {
			points = append(points, point(s, f))
		}
	}
	rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points[:n]
}

// TestCrashPoints plays one seeded drop on Apache Kafka and the ClickHouse engine twice: in peace, and with a fault at
// every step of the loops in turn. An audit follows every fault, and in the end every table, the views'
// included, must be the one of the peaceful run, and agree with the simulator's books.
// DROPLIFT_CRASH_POINTS says how many faults there are, DROPLIFT_CRASH_FAULTS which ones, separated by commas.
func TestCrashPoints(t *testing.T) {
	r := newRig(t, 1)
	all := faults(r)
	if names := os.Getenv("DROPLIFT_CRASH_FAULTS"); names != "" {
		all = slices.DeleteFunc(all, func(f fault) bool { return !slices.Contains(strings.Split(names, ","), f.name) })
	}
	r.crash(t, all, crashPointCount(t))
}

// TestBrokerCrashPoints does the same with three brokers that replicate, and kills one of them at a time.
func TestBrokerCrashPoints(t *testing.T) {
	newRig(t, 3).crash(t, brokerFaults(), max(7, crashPointCount(t)/25))
}

// crash is the body of both.
func (r *rig) crash(t *testing.T, all []fault, n int) {
	seed := pipelineSeed(t)
	rng := rand.New(rand.NewPCG(seed, 3))
	points := crashPoints(rng, all, n)

	scenario := simulate.Tiny(seed)
	scenario.Players = max(scenario.Players, scenario.Players*n/400)
	peace, war := world{"peace-", "peace"}, world{"war-", "war"}
	letters := 0
	for _, p := range points {
		if p.step == kafka.FeedLettered {
			letters++
		}
	}
	truth, total := r.playInPeace(peace, scenario, letters)

	r.prepare(war)
	storm := r.traffic(war, scenario)
	slice := max(1, total/n-1)
	report := newCrashReport(all)
	r.start(war)
	for i, p := range points {
		held := r.steps.hold(p.step, p.after)
		if slices.Contains(births, p.step) {
			r.kill()
			r.start(war)
		}
		if p.step == kafka.FeedLettered {
			storm.spoil(t)
		}
		storm.send(t, slice)
		r.await(held, func() { storm.send(t, 4) }, i, p)
		p.fault.hurt(r, war, rng)
		if lost, doubled := report.add(p, r.audit(war, false)); lost+doubled > 0 {
			t.Errorf("crash point %d, %s at %s: %d lost, %d doubled", i+1, p.fault.name, p.step, lost, doubled)
		}
		if testing.Verbose() {
			fmt.Fprintf(os.Stderr, "\r\x1b[K%d/%d %s: %s", i+1, len(points), p.step, p.fault.name)
		}
	}
	storm.send(t, total)
	r.drain(war)
	r.alive()

	r.compare(t, truth, peace, war)
	t.Logf("seed %d, %d crash points:\n%s", seed, n, report)
}

// crashPointCount is how many faults to inject; 200 by default.
func crashPointCount(t testing.TB) int {
	text := cmp.Or(os.Getenv("DROPLIFT_CRASH_POINTS"), "200")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("DROPLIFT_CRASH_POINTS=%q is not a number of crash points", text)
	}
	return n
}

// await returns when the process is held. A step that does not come in spite of more and more traffic means that
// a fault before it was not survived.
func (r *rig) await(held <-chan struct{}, more func(), i int, p crashPoint) {
	r.t.Helper()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for range 90 {
		select {
		case <-held:
			return
		case <-ticker.C:
			r.steps.hurry()
			more()
		}
	}
	r.alive()
	r.diagnose()
	r.signal(syscall.SIGQUIT)
	r.process.Wait()
	r.t.Fatalf("crash point %d: the process never reached %s", i, p.step)
}

// crashReport counts what was done, by step and fault, and what it cost.
type crashReport struct {
	steps map[kafka.Step]*crashRow
	names []string
}

type crashRow struct {
	faults        map[string]int
	lost, doubled int64
}

func newCrashReport(all []fault) *crashReport {
	c := &crashReport{steps: map[kafka.Step]*crashRow{}}
	for _, step := range chaosSteps {
		c.steps[step] = &crashRow{faults: map[string]int{}}
	}
	for _, f := range all {
		c.names = append(c.names, f.name)
	}
	return c
}

// add notes a crash point and the audit after it.
func (c *crashReport) add(p crashPoint, after *auditReport) (lost, doubled int64) {
	for _, part := range after.Partitions {
		lost += total(part.Missing)
		doubled += total(part.Doubled) + total(part.Stray)
	}
	row := c.steps[p.step]
	row.faults[p.fault.name]++
	row.lost += lost
	row.doubled += doubled
	return lost, doubled
}

func (c *crashReport) String() string {
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.Style().Format.Header = text.FormatDefault
	header := table.Row{"step"}
	for _, name := range c.names {
		header = append(header, strings.ReplaceAll(name, " ", "\n"))
	}
	w.AppendHeader(append(header, "lost", "doubled"))
	for _, s := range chaosSteps {
		row := table.Row{string(s)}
		for _, name := range c.names {
			row = append(row, c.steps[s].faults[name])
		}
		w.AppendRow(append(row, c.steps[s].lost, c.steps[s].doubled))
	}
	return w.Render()
}
