package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// interactive says whether a person watches stderr.
func interactive() bool { return term.IsTerminal(int(os.Stderr.Fd())) }

// bar is a progress bar on stderr; into a file or a pipe it prints a line now and then.
type bar struct{ inner *progressbar.ProgressBar }

func newBar(label string, total int64) *bar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription(label),
		progressbar.OptionSetWidth(40),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetTheme(progressbar.ThemeUnicode),
		progressbar.OptionOnCompletion(func() { os.Stderr.WriteString("\n") }),
	}
	if !interactive() {
		options = append(options,
			progressbar.OptionThrottle(10*time.Second),
			progressbar.OptionUseANSICodes(false),
			progressbar.OptionOnCompletion(func() { os.Stderr.WriteString("\n") }))
	}
	return &bar{progressbar.NewOptions64(total, options...)}
}

func (b *bar) set(label string, position int64) {
	b.inner.Describe(label)
	b.inner.Set64(position)
}

func (b *bar) finish() { b.inner.Finish() }
