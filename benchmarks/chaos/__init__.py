"""Journeys and a campaign under failures of every process, judged by what receivers, log and histories say."""
