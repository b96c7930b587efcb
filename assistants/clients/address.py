from assistants.address import Address, Endpoint, check_url

__all__ = ["Address", "Endpoint", "check_url"]
