package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// chromium is a browser of its own, which notes what a good page gives no cause for.
type chromium struct {
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// startBrowser starts Chromium, or skips the test. A page may ask for the addresses that ours names.
func startBrowser(t *testing.T, ours func(url string) bool) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		embeddedtest.Missing(t, "chromium", err.Error())
	}
	options := append([]chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun},
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)

	b := &chromium{ctx: ctx}
	chromedp.ListenTarget(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			text := ""
			for _, arg := range ev.Args {
				text += " " + string(arg.Value) + arg.Description
			}
			b.complain("console: %s%s", ev.Type, text)
		case *runtime.EventExceptionThrown:
			b.complain("exception: %s %v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception)
		case *cdplog.EventEntryAdded:
			b.complain("log: %s %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
		case *network.EventRequestWillBeSent:
			if !ours(ev.Request.URL) {
				b.complain("it asks for %s", ev.Request.URL)
			}
		}
	})
	if err := chromedp.Run(ctx, network.Enable(), cdplog.Enable(), runtime.Enable()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *chromium) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
}

// check fails the test with every complaint since the last check.
func (b *chromium) check(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Error(c)
	}
	b.complaints = nil
}

// screenshots is where pictures for a person to look at go: DROPLIFT_SCREENSHOTS, or away with the test.
func screenshots(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DROPLIFT_SCREENSHOTS")
	if dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
