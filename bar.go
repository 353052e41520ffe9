package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// interactive says whether a person watches stderr.
func interactive() bool { return term.IsTerminal(int(os.Stderr.Fd())) }

// bar is a progress bar on stderr; into a file or a pipe it prints a line now and then.
type bar struct {
	inner *progressbar.ProgressBar // nil without a terminal

	label        string
	total        int64
	began, lined time.Time
}

// barLine is how often a bar without a terminal prints a line.
const barLine = 10 * time.Second

func newBar(label string, total int64) *bar {
	now := time.Now()
	b := &bar{label: label, total: total, began: now, lined: now}
	if interactive() {
		b.inner = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(40),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetTheme(progressbar.ThemeUnicode),
			progressbar.OptionOnCompletion(func() { os.Stderr.WriteString("\n") }))
	}
	return b
}

func (b *bar) set(label string, position int64) {
	if b.inner != nil {
		b.inner.Describe(label)
		b.inner.Set64(position)
		return
	}
	b.label = label
	if now := time.Now(); now.Sub(b.lined) >= barLine && b.total > 0 {
		b.lined = now
		fmt.Fprintf(os.Stderr, "%s: %d %%\n", label, 100*position/b.total)
	}
}

func (b *bar) finish() {
	if b.inner != nil {
		b.inner.Finish()
		return
	}
	fmt.Fprintf(os.Stderr, "%s: done in %s\n", b.label, time.Since(b.began).Round(100*time.Millisecond))
}
