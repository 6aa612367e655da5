"""What can go wrong with the gRPC port; apart, so that who catches it need not import grpc."""


class GrpcError(Exception):
    """The port cannot be opened; the message says what to change."""
