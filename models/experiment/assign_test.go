package experiment

import (
	"fmt"
	"testing"
)

// The vectors of DOMAIN 6.
func TestAssignmentVectors(t *testing.T) {
	for _, v := range []struct {
		experiment, unit string
		hash             uint64
		bucket           uint32
	}{
		{"cta-fr-2025w40", "player-1", 0x2a9e667ab5e38097, 5911},
		{"cta-fr-2025w40", "player-2", 0xb2ea00880f81cab9, 2649},
		{"cta-de-2025w40", "player-1", 0xd42629ef03d5c079, 9},
	} {
		if got := Hash("v1", v.experiment, v.unit); got != v.hash {
			t.Errorf("%s, %s: hash %#x, want %#x", v.experiment, v.unit, got, v.hash)
		}
		if got := Bucket("v1", v.experiment, v.unit); got != v.bucket {
			t.Errorf("%s, %s: bucket %d, want %d", v.experiment, v.unit, got, v.bucket)
		}
	}
	low := 0
	for i := range 100_000 {
		if Bucket("v1", "cta-fr-2025w40", fmt.Sprintf("player-%d", i)) < 5000 {
			low++
		}
	}
	if low != 50_126 {
		t.Errorf("%d of 100,000 below 5,000, want 50,126", low)
	}
	if got, want := Hash(string(make([]byte, 300)), "x", "y"), Hash(string(make([]byte, 299)), "x", "y"); got == want {
		t.Error("long salts are cut")
	}
}

func TestRampsReshuffleNothing(t *testing.T) {
	narrow := Design{ID: "cta", Salt: "v1", Traffic: 1000, Shares: []uint32{2500, 2500, 5000}}
	wide := narrow
	wide.Traffic = 6000
	var enrolled, count [3]int
	for i := range 50_000 {
		unit := fmt.Sprintf("player-%d", i)
		was, is := narrow.Variant(unit), wide.Variant(unit)
		if was != None && was != is {
			t.Fatalf("%s moved from %d to %d", unit, was, is)
		}
		if was != None {
			enrolled[was]++
		}
		if is != None {
			count[is]++
		}
	}
	for i, share := range []float64{0.25, 0.25, 0.5} {
		for _, c := range []struct {
			n    int
			want float64
		}{{enrolled[i], 5000 * share}, {count[i], 30_000 * share}} {
			if float64(c.n) < 0.9*c.want || float64(c.n) > 1.1*c.want {
				t.Errorf("variant %d has %d units, want about %.0f", i, c.n, c.want)
			}
		}
	}
}

func TestLayersExclude(t *testing.T) {
	a := Design{ID: "a", Salt: "v1", Layer: "checkout", From: 0, Traffic: 4000, Shares: []uint32{5000, 5000}}
	b := Design{ID: "b", Salt: "v1", Layer: "checkout", From: 4000, Traffic: 6000, Shares: []uint32{5000, 5000}}
	var in [2]int
	for i := range 20_000 {
		unit := fmt.Sprintf("player-%d", i)
		ea, eb := a.Enrolled(unit), b.Enrolled(unit)
		if ea == eb {
			t.Fatalf("%s is in %v and %v", unit, ea, eb)
		}
		if ea {
			in[0]++
		} else {
			in[1]++
		}
	}
	if in[0] < 7600 || in[0] > 8400 {
		t.Errorf("%d of 20,000 in the layer's first 40 %%", in[0])
	}
}

func TestSharesMayLeaveUnitsOut(t *testing.T) {
	d := Design{ID: "cta", Salt: "v1", Traffic: Buckets, Shares: []uint32{3000, 3000}}
	out := 0
	for i := range 10_000 {
		if d.Variant(fmt.Sprintf("player-%d", i)) == None {
			out++
		}
	}
	if out < 3700 || out > 4300 {
		t.Errorf("%d of 10,000 without a variant, want about 4,000", out)
	}
}
