package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// ViewerConfig is how dashboards are served in a browser.
type ViewerConfig struct {
	ViewerAddr      string        `group:"viewer" help:"Address of the dashboards' viewer; empty turns it off. Beyond loopback it wants a token, see --viewer-token-file." default:"127.0.0.1:8127"`
	ViewerTokenFile string        `group:"viewer" help:"File that holds the token that browsers must show (or set DROPLIFT_VIEWER_TOKEN)." placeholder:"FILE"`
	ViewerTimeout   time.Duration `group:"viewer" help:"How long a panel's query may take." default:"5s"`
	PrometheusURL   string        `name:"prometheus-url" group:"viewer" help:"URL of a Prometheus whose data panels and alerts use. Empty asks this process's own metrics, which are kept for a day: by droplift up and demo below --data-dir, else in memory." placeholder:"URL"`
}

// validate reports every problem at once.
func (c *ViewerConfig) validate() error {
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	if c.ViewerAddr != "" {
		host, _, err := net.SplitHostPort(c.ViewerAddr)
		token, errToken := secret("DROPLIFT_VIEWER_TOKEN", c.ViewerTokenFile)
		ip := net.ParseIP(host)
		switch {
		case err != nil:
			bad("viewer-addr", "%q is not HOST:PORT", c.ViewerAddr)
		case errToken != nil:
			bad("viewer-token-file", "%v", errToken)
		case token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()):
			bad("viewer-addr", "%s is not on loopback: name a file with a token in --viewer-token-file, or set DROPLIFT_VIEWER_TOKEN", c.ViewerAddr)
		}
	}
	if c.ViewerTimeout <= 0 {
		bad("viewer-timeout", "%s is not positive", c.ViewerTimeout)
	}
	if c.PrometheusURL != "" {
		if u, err := url.Parse(c.PrometheusURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			bad("prometheus-url", "%q is not http://HOST:PORT", c.PrometheusURL)
		}
	}
	return errors.Join(problems...)
}
