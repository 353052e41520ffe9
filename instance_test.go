package main

import "testing"

func TestInstanceIsOnePerLivingProcess(t *testing.T) {
	dir := t.TempDir()
	claim := func(flags ...string) (string, func() error) {
		t.Helper()
		name, release, err := parseConfig(t, append([]string{"--data-dir", dir}, flags...)...).claimInstance()
		if err != nil {
			t.Fatal(err)
		}
		return name, release
	}
	first, end := claim()
	second, _ := claim()
	if first == second {
		t.Errorf("two processes are both %q: they would fence each other", first)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if again, _ := claim(); again != first {
		t.Errorf("the process after %q is %q: the transaction that it left would have to time out", first, again)
	}
	if named, _ := claim("--instance", "a"); named != "a" {
		t.Errorf("--instance a gives %q", named)
	}
	dir = t.TempDir()
	if other, _ := claim(); other == first {
		t.Errorf("processes of two directories are both %q", other)
	}
}
