package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/droplift/droplift/dashboards"
)

// DashboardsCmd groups what concerns dashboards.
type DashboardsCmd struct {
	Serve DashboardsServeCmd `cmd:"" help:"Show the dashboards in a browser."`
	List  DashboardsListCmd  `cmd:"" help:"List the dashboards."`
	Push  DashboardsPushCmd  `cmd:"" help:"Write the dashboards into a Grafana that runs already."`
}

// DashboardsServeCmd runs the viewer.
type DashboardsServeCmd struct{}

// Help is shown by --help.
func (c *DashboardsServeCmd) Help() string {
	return "Serves the generated dashboards at --viewer-addr: the same JSON and the same queries that Grafana has, without Grafana. droplift up and " +
		"droplift demo do so, too; this is for a ClickHouse that runs elsewhere. It only reads, as --clickhouse-readonly-user.\n\n" +
		"On loopback it lets in who is on this machine. Beyond, it wants a token: browsers open it with ?token=TOKEN once, programs send " +
		"Authorization: Bearer TOKEN. Put TLS in front of it there.\n\n" +
		"Links hold what is shown: ?var-drop=DROP&from=start-30m&to=data. A time is Unix ms, RFC 3339, or an anchor with an offset: now, the drop's " +
		"start and end, data, the newest that is stored of it, and first-cue and last-cue, between which its stream has subtitles.\n\n" +
		"Examples:\n\n  droplift dashboards serve --clickhouse http://clickhouse:8123\n" +
		"  DROPLIFT_VIEWER_TOKEN=... droplift dashboards serve --viewer-addr 0.0.0.0:8127\n" +
		"  curl 'http://127.0.0.1:8127/api/dashboards/droplift-drop-live/panels/2?var-drop=DROP&from=start&to=data&format=csv'"
}

func (c *DashboardsServeCmd) Run(ctx context.Context, cfg *Config) error {
	if cfg.ViewerAddr == "" {
		return errors.New("--viewer-addr: there is nothing to serve without an address")
	}
	listener, err := cfg.listenViewer()
	if err != nil {
		return err
	}
	n, err := connectNode(cfg, "viewer")
	if err != nil {
		return errors.Join(err, closeListener(listener))
	}
	n.viewer = listener
	n.log.Info("serving", "dashboards", n.viewerAt())
	return n.run(ctx, n.serveViewer, n.signals)
}

// DashboardsListCmd prints what dashboards there are.
type DashboardsListCmd struct{}

func (c *DashboardsListCmd) Run(cfg *Config) error {
	all, err := dashboards.All()
	if err != nil {
		return err
	}
	for _, d := range all {
		address := "/d/" + d.UID()
		if cfg.ViewerAddr != "" {
			address = "http://" + cfg.ViewerAddr + address
		}
		if _, err := fmt.Fprintf(os.Stdout, "%s  %s\n    %s\n", d.Title(), address, d.Description()); err != nil {
			return err
		}
	}
	return nil
}
