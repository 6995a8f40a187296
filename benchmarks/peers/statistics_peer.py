"""Statistics of returns as empyrical-reloaded and quantstats have them.

Runs in an environment of its own that has both; signalkit is not in it. Reads JSON from standard
input: a list of {"returns": [...], "benchmark": [...], "periods": bars a year}. Writes JSON: for
each, by library, the value of each name below that the library has.

    python -m venv peers && peers/bin/pip install empyrical-reloaded quantstats
    SIGNALKIT_STATISTICS=peers/bin/python make certify
"""

import json
import sys

import empyrical
import numpy as np
import pandas as pd
import quantstats.stats as quantstats


def of_empyrical(returns, benchmark, periods):
    year = {"annualization": periods}
    return {
        "return_total": empyrical.cum_returns_final(returns),
        "return_annual": empyrical.annual_return(returns, **year),
        "volatility_annual": empyrical.annual_volatility(returns, **year),
        "sharpe_annual": empyrical.sharpe_ratio(returns, **year),
        "sortino_annual": empyrical.sortino_ratio(returns, **year),
        "max_drawdown": empyrical.max_drawdown(returns),
        "calmar": empyrical.calmar_ratio(returns, **year),
        "var_95": empyrical.value_at_risk(returns, 0.05),
        "cvar_95": empyrical.conditional_value_at_risk(returns, 0.05),
        "beta": empyrical.beta(returns, benchmark),
        "alpha_compounded": empyrical.alpha(returns, benchmark, **year),
    }


def of_quantstats(returns, benchmark, periods):
    greeks = quantstats.greeks(returns, benchmark, periods, prepare_returns=False)
    longest = quantstats.drawdown_details(quantstats.to_drawdown_series(returns))["days"].max()
    return {
        "return_total": quantstats.comp(returns),
        "return_annual": quantstats.cagr(returns, periods=periods),
        "volatility_annual": quantstats.volatility(returns, periods, prepare_returns=False),
        "sharpe_annual": quantstats.sharpe(returns, periods=periods),
        "sortino_annual": quantstats.sortino(returns, periods=periods),
        "max_drawdown": quantstats.max_drawdown(returns),
        "calmar": quantstats.calmar(returns, periods=periods),
        "max_drawdown_bars": longest,
        "var_95_normal": quantstats.value_at_risk(returns, prepare_returns=False),
        "cvar_95": quantstats.cvar(returns, method="historical", prepare_returns=False),
        "beta": greeks["beta"],
        "alpha_annual": greeks["alpha"],
        "gain_to_loss": quantstats.profit_factor(returns, prepare_returns=False),
    }


def main():
    told = []
    for case in json.load(sys.stdin):
        # days in a row, so that a duration in days is one in bars
        days = pd.date_range("2000-01-01", periods=len(case["returns"]), freq="D")
        given = (pd.Series(case["returns"], days), pd.Series(case["benchmark"], days))
        found = {
            "empyrical": of_empyrical(*given, case["periods"]),
            "quantstats": of_quantstats(*given, case["periods"]),
        }
        told.append({k: {n: float(np.float64(v)) for n, v in f.items()} for k, f in found.items()})
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
